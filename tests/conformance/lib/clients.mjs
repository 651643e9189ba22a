import { randomUUID } from 'node:crypto';

import WebSocket from 'ws';

import { Inbox, once, within } from './wait.mjs';

// The 2.x client cannot listen to everything.
const EVENTS = [
  'authenticated',
  'client:subscribe',
  'client:unsubscribe',
  'client:pong',
  'client:publish',
  'auth:expiring',
  'error',
  'kpi:update',
  'backlog:update',
  'attendance:update',
  'alert:triggered',
  'system:notification',
];

/**
 * A Socket.IO client, either major version, that is closed after the test `t`.
 *
 * `options` are the client's own. Messages come to the inbox as `{event, payload, meta, args, ack}`: `args` are the
 * arguments of the handler, of which `ack` was the last if the event asks for an acknowledgement.
 */
export function socketIoClient(t, io, url, options = {}) {
  const socket = io(url, {
    path: '/ws',
    forceNew: true,
    autoConnect: false,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    ...options,
  });
  t.after(() => socket.disconnect());
  const inbox = new Inbox();
  const receive = (event, args) => {
    const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    inbox.push({ event, payload: args[0], meta: args[1], args, ack });
  };
  if (socket.onAny) {
    socket.onAny((event, ...args) => receive(event, args));
  } else {
    for (const event of EVENTS) {
      socket.on(event, (...args) => {
        // What its transport has to complain about comes under the name of the server's `error`.
        if (!(args[0] instanceof Error)) receive(event, args);
      });
    }
  }

  return {
    socket,
    inbox,
    get transport() {
      return socket.io.engine.transport.name;
    },
    async connect() {
      const connected = once(socket, 'connect', `a connection to ${url}`);
      socket.connect();
      await connected;
    },
    /** Emits and returns the acknowledgement. */
    call(event, ...args) {
      const acknowledged = new Promise((resolve) => {
        socket.emit(event, ...args, resolve);
      });
      return within(acknowledged, `the acknowledgement of ${event}`);
    },
    send(event, ...args) {
      socket.emit(event, ...args);
    },
    /** Sends a message of Engine.IO, a text or binary, past everything that the client would check. */
    raw(message) {
      socket.io.engine.write(message);
    },
  };
}

/** How the three envelopes of plain WebSocket clients name an event and its data. */
export const ENVELOPES = {
  event: { name: 'event', data: 'data' },
  type_data: { name: 'type', data: 'data' },
  type_payload: { name: 'type', data: 'payload' },
};

/**
 * A plain WebSocket client that is closed after the test `t`.
 *
 * Messages come to the inbox as `{event, payload, frame, text}`, read in the envelope `envelope`.
 */
export async function plainClient(t, server, { query = '', envelope = 'event' } = {}) {
  const keys = ENVELOPES[envelope];
  const socket = new WebSocket(`${server.wsUrl}/ws${query}`);
  t.after(() => socket.terminate());
  const inbox = new Inbox();
  socket.on('message', (data, isBinary) => {
    const text = data.toString();
    const frame = isBinary ? { [keys.name]: 'a binary frame' } : JSON.parse(text);
    inbox.push({ event: frame[keys.name], payload: frame[keys.data], frame, text });
  });
  const closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  const opened = new Promise((resolve, reject) => {
    socket.on('open', resolve);
    socket.on('error', reject);
  });
  await within(opened, 'a plain connection');

  const client = {
    socket,
    inbox,
    /** Settles with `{code, reason}` once the connection is closed. */
    closed,
    raw(frame) {
      socket.send(frame);
    },
    send(event, data, extra = {}) {
      socket.send(JSON.stringify({ [keys.name]: event, [keys.data]: data, ...extra }));
    },
    /** Sends with an `id`, skips what comes until a message with this id, and returns that one. */
    async request(event, data) {
      const id = randomUUID();
      client.send(event, data, { id });
      const taken = await inbox.takeThrough((message) => message.frame.id === id, `the reply to ${event}`);
      return taken.at(-1);
    },
    /** As a request, for its data alone: what a Socket.IO client gets as acknowledgement. */
    async call(event, data) {
      return (await client.request(event, data)).payload;
    },
  };
  return client;
}

/**
 * Everything that `client`, a subscriber of `attendance` in `organization`, received before a marker that is
 * published now. A connection's order is guaranteed, so what is not in here was not sent before.
 */
export async function receivedSoFar(server, organization, client) {
  const marker = randomUUID();
  await server.broadcast('/attendance', { organization_id: organization, marker });
  const taken = await client.inbox.takeThrough(({ payload }) => payload?.marker === marker, 'the marker');
  taken.pop();
  return taken;
}
