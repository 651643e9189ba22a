import type { io as connect, Socket } from 'socket.io-client';

import { isFinal, OrgcastError } from './errors.js';
import { address, type Meta, type OpenTransport, type Via } from './transport.js';

export interface SocketIoOptions {
  /** `io` of `socket.io-client`; imported when the first connection is made if it is not given. */
  io?: typeof connect | undefined;
  /** Ways to try, in this order. */
  transports?: Via[] | undefined;
}

/**
 * Socket.IO: HTTP polling with an upgrade to WebSocket where the network lets it pass. Reconnecting is the client's
 * business, so every connection is a manager of its own.
 */
export function socketIoTransport({ io, transports }: SocketIoOptions = {}): OpenTransport {
  return (endpoint, listener) => {
    // Before anything is loaded: an address that is none is the caller's to hear of.
    const url = address(endpoint, 'http');
    let socket: Socket | undefined;
    let isOver = false;
    const waiting = new Set<(error: OrgcastError) => void>();

    const end = () => {
      isOver = true;
      for (const reject of waiting) reject(new OrgcastError('DISCONNECTED', 'the connection was lost'));
      waiting.clear();
      socket?.disconnect();
    };
    const closed = (code: number, reason: string, error?: OrgcastError) => {
      if (isOver) return;
      end();
      listener.closed(code, reason, error);
    };

    const open = (make: typeof connect) => {
      if (isOver) return;
      socket = make(url.origin, {
        path: url.pathname,
        // Everything beside the payload too, also where a stock client gets less.
        query: { ...Object.fromEntries(url.searchParams), arguments: 'all' },
        forceNew: true,
        reconnection: false,
        // The client's own limit comes first.
        timeout: 2 ** 31 - 1,
        ...(transports && { transports }),
      });
      // An error that answers a message comes in its acknowledgement and once more as an event.
      const told: string[] = [];
      const opened = socket;
      opened.on('connect', () => {
        const engine = opened.io.engine;
        listener.switched(engine.transport.name as Via);
        engine.on('upgrade', (transport) => !isOver && listener.switched(transport.name as Via));
        listener.opened();
      });
      opened.on('connect_error', (error) => {
        const refusal = refusalOf(error);
        if (refusal) return closed(isFinal(refusal) ? 1008 : 1013, refusal.message, refusal);
        // The network's own errors; a server that has no room says so by its status.
        closed((error as Failure).description === 503 ? 1013 : 1006, error.message);
      });
      opened.on('disconnect', (reason, details) => {
        // The server sends this packet only to those who should not come back.
        if (reason === 'io server disconnect') return closed(1008, 'the server ended the connection');
        const code = (details as { description?: unknown } | undefined)?.description;
        closed(typeof code === 'number' ? code : 1006, reason);
      });
      opened.onAny((event: string, payload: unknown, ...more: unknown[]) => {
        if (isOver) return;
        // Older servers leave out what they were not asked for, and newer ones may add to it.
        const meta = more.find((it): it is Meta => typeof it === 'object' && it !== null);
        const acknowledge = more.find((it): it is () => void => typeof it === 'function');
        if (event === 'error' && told[0] === JSON.stringify(payload)) told.shift();
        else listener.received(event, payload, meta ?? {}, acknowledge);
      });
      request = (event, data) =>
        new Promise((resolve, reject) => {
          if (isOver || !opened.connected) return reject(new OrgcastError('DISCONNECTED', 'there is no connection'));
          waiting.add(reject);
          opened.emit(event, data, (reply: { success?: boolean }) => {
            waiting.delete(reject);
            if (reply?.success === false) told.push(JSON.stringify(reply));
            resolve(reply);
          });
        });
    };

    let request = (_event: string, _data: unknown): Promise<unknown> =>
      Promise.reject(new OrgcastError('DISCONNECTED', 'there is no connection'));

    if (io) open(io);
    else {
      import('socket.io-client').then(
        (module) => open(module.io),
        () => closed(1006, 'socket.io-client could not be loaded: npm install socket.io-client'),
      );
    }
    return { request: (event, data) => request(event, data), close: end };
  };
}

/** What Socket.IO and Engine.IO add to an error. */
interface Failure extends Error {
  /** Of a refusal: what the server says of it. */
  data?: unknown;
  /** Of the network: the status, and the request. */
  description?: unknown;
  context?: { responseText?: string };
}

/** The server's refusal, in whichever way it came; `undefined` for a failure that is none. */
function refusalOf({ data, message, context }: Failure): OrgcastError | undefined {
  // Older servers say no more than `CODE: message`.
  const [, code, text] = /^([A-Z_]+): (.*)$/s.exec(message) ?? [];
  const said = [data, parse(context?.responseText), code && { code, message: text }];
  const fault = said.find((it) => typeof (it as { code?: unknown } | undefined)?.code === 'string');
  return fault ? OrgcastError.from({ error: fault }) : undefined;
}

/** The error in the body of an answer. */
function parse(body: string | undefined): unknown {
  try {
    return JSON.parse(body ?? '').error;
  } catch {
    return undefined;
  }
}
