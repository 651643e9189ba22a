// socket.io on Bun with @socket.io/bun-engine, as its documentation shows. It has no switch for
// permessage-deflate.

import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import { broadcast, listening, serve } from "./flow.mjs";

const io = new Server();
const engine = new Engine({ path: "/ws/", pingInterval: 25_000, pingTimeout: 60_000 });
io.bind(engine);
serve(io);

const handler = engine.handler();
const server = Bun.serve({
  ...handler,
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request, server) {
    if (request.url.endsWith("/api/ws/broadcast/kpi")) {
      return new Response(broadcast(io, await request.text()), {
        headers: { "Content-Type": "application/json" },
      });
    }
    return handler.fetch.call(this, request, server);
  },
});
listening(server.port);
