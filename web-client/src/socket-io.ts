import type { io as connect, Socket } from 'socket.io-client';

import { OrgcastError } from './errors.js';
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
    let socket: Socket | undefined;
    let isOver = false;
    const waiting = new Set<(error: OrgcastError) => void>();

    const end = () => {
      isOver = true;
      for (const reject of waiting) reject(new OrgcastError('DISCONNECTED', 'the connection was lost'));
      waiting.clear();
      socket?.disconnect();
    };
    const closed = (code: number, reason: string) => {
      if (isOver) return;
      end();
      listener.closed(code, reason);
    };

    const open = (make: typeof connect) => {
      if (isOver) return;
      const url = address(endpoint, 'http');
      socket = make(url.origin, {
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
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
        // The server's own refusals read `CODE: message`; the others are the network's.
        const code = /^(AUTH_FAILED|UNAUTHORIZED|INVALID_MESSAGE): /.test(error.message) ? 1008 : 1006;
        closed(code, error.message);
      });
      opened.on('disconnect', (reason, details) => {
        // The server sends this packet only to those who should not come back.
        if (reason === 'io server disconnect') return closed(1008, 'the server ended the connection');
        const code = (details as { description?: unknown } | undefined)?.description;
        closed(typeof code === 'number' ? code : 1006, reason);
      });
      opened.onAny((event: string, payload: unknown, meta: Meta | undefined, acknowledge?: () => void) => {
        if (isOver) return;
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
