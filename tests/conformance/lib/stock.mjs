import { io } from 'socket.io-client';
import io2 from 'socket.io-client-2';
import io3 from 'socket.io-client-3';

import { once, within } from './wait.mjs';

/** The stock clients, by version. */
export const CLIENTS = { '4.x': io, '3.x': io3, '2.x': io2 };

/** A stock client of `server` that is not connected yet, and is disconnected after the test `t`. */
export function stock(t, version, server, { namespace = '', ...options } = {}) {
  const socket = CLIENTS[version](server.url + namespace, {
    path: '/ws',
    forceNew: true,
    autoConnect: false,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    ...options,
  });
  t.after(() => socket.disconnect());
  return socket;
}

export async function connect(socket) {
  const connected = once(socket, 'connect');
  socket.connect();
  await connected;
  return socket;
}

/** Emits and returns what the acknowledgement says. */
export function call(socket, event, ...args) {
  const acknowledged = new Promise((resolve) => socket.emit(event, ...args, resolve));
  return within(acknowledged, `the acknowledgement of ${event}`, 20_000);
}
