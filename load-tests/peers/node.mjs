// socket.io on Node with ws, as its documentation advises: no permessage-deflate unless asked for,
// no HTTP compression, no client files, and the handshake request dropped after it was used
// (https://socket.io/docs/v4/memory-usage/).
//
// PEER_DEFLATE=1 turns permessage-deflate on from 1024 bytes, without context takeover, which is
// what keeps its memory within bounds. PEER_TLS_CERT and PEER_TLS_KEY name files in PEM with which it
// speaks TLS itself.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { Server } from "socket.io";
import { broadcast, listening, serve } from "./flow.mjs";

function answer(request, response) {
  if (request.method !== "POST" || request.url !== "/api/ws/broadcast/kpi") {
    response.writeHead(404).end();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const receipt = broadcast(io, Buffer.concat(chunks).toString());
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(receipt),
    });
    response.end(receipt);
  });
}

const { PEER_TLS_CERT: cert, PEER_TLS_KEY: key } = process.env;
const http = cert
  ? createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, answer)
  : createServer(answer);

const io = new Server(http, {
  path: "/ws",
  serveClient: false,
  httpCompression: false,
  perMessageDeflate: process.env.PEER_DEFLATE
    ? { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true }
    : false,
  pingInterval: 25_000,
  pingTimeout: 60_000,
});
io.engine.on("connection", (socket) => {
  socket.request = null;
});
serve(io);

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  listening(http.address().port, cert ? "https" : "http"),
);
