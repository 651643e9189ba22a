// The flow that every peer serves, and nothing more: authenticate, subscribe to a room of one
// queue, client:ping, and POST /api/ws/broadcast/kpi to that room. What goes out has the same form
// as orgcast's, so that the same number of bytes is delivered.

import { randomUUID } from "node:crypto";

export const room = (channel, place) =>
  [
    `${channel}:org:${place.organization_id}`,
    place.department_id && `dept:${place.department_id}`,
    place.queue_name && `queue:${place.queue_name}`,
  ]
    .filter(Boolean)
    .join(":");

export const meta = () => ({
  id: randomUUID(),
  channel: "kpi",
  timestamp: new Date().toISOString(),
  priority: "medium",
});

/** The handlers of a Socket.IO server. */
export function serve(io) {
  io.on("connection", (socket) => {
    socket.on("authenticate", (identity, ack) => {
      socket.data.user = identity.user_id;
      ack({ success: true, connection_id: socket.id });
    });
    socket.on("subscribe", (request, ack) => {
      const rooms = request.channels.map((channel) => room(channel, request));
      socket.join(rooms);
      ack({ success: true, subscriptions: rooms });
    });
    socket.on("client:ping", (data, ack) => ack({ data, server_time: Date.now() }));
  });
}

/** Broadcasts a body to its room; returns the receipt. */
export function broadcast(io, text) {
  const payload = JSON.parse(text);
  const target = room("kpi", payload);
  const recipients = io.of("/").adapter.rooms.get(target)?.size ?? 0;
  const about = meta();
  io.to(target).emit("kpi:update", payload, about);
  return JSON.stringify({ success: true, message_id: about.id, recipients });
}

export const listening = (port, scheme = "http") =>
  console.log(`listening on ${scheme}://127.0.0.1:${port}/ws`);
