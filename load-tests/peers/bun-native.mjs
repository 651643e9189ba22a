// Bun's own WebSocket server with its native publish (uWebSockets), the plain protocol. The body of
// a broadcast is parsed once, for its target, and goes out as it came. PEER_DEFLATE=1 turns
// permessage-deflate on for what is published.

import { listening, meta, room } from "./flow.mjs";

const deflate = Boolean(process.env.PEER_DEFLATE);

const reply = (id, event, data) =>
  JSON.stringify({ id, event, data, timestamp: new Date().toISOString() });

const commands = {
  authenticate(socket, { id, data }) {
    socket.data.user = data.user_id;
    socket.send(reply(id, "authenticated", { success: true }));
  },
  subscribe(socket, { id, data }) {
    const rooms = data.channels.map((channel) => room(channel, data));
    for (const name of rooms) socket.subscribe(name);
    socket.send(reply(id, "client:subscribe", { success: true, subscriptions: rooms }));
  },
  "client:ping"(socket, { id, data }) {
    socket.send(reply(id, "client:pong", { data, server_time: Date.now() }));
  },
};

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request, server) {
    if (request.url.endsWith("/api/ws/broadcast/kpi")) {
      const text = await request.text();
      const payload = JSON.parse(text);
      const target = room("kpi", payload);
      const { id, timestamp, channel, priority } = meta();
      const recipients = server.subscriberCount(target);
      server.publish(
        target,
        `{"id":"${id}","event":"kpi:update","data":${text},"timestamp":"${timestamp}",` +
          `"channel":"${channel}","priority":"${priority}",` +
          `"organization_id":${JSON.stringify(payload.organization_id)}}`,
        deflate,
      );
      return Response.json({ success: true, message_id: id, recipients });
    }
    if (server.upgrade(request, { data: {} })) return undefined;
    return new Response("not found", { status: 404 });
  },
  websocket: {
    perMessageDeflate: deflate,
    idleTimeout: 120,
    sendPings: true,
    // A connection that is behind by this much is closed rather than left with a hole.
    backpressureLimit: 8 * 1024 * 1024,
    closeOnBackpressureLimit: true,
    message(socket, text) {
      const message = JSON.parse(text);
      commands[message.event]?.(socket, message);
    },
  },
});
listening(server.port);
