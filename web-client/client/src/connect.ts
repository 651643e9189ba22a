import { Client } from './client.js';
import { checkNames } from './names.js';
import { plainTransport } from './plain.js';
import { type SocketIoOptions, socketIoTransport } from './socket-io.js';
import type { WebSocketClass } from './transport.js';
import { CLIENT_OPTIONS, type ClientOptions } from './types.js';

export interface PlainClientOptions extends ClientOptions {
  /** Where there is no WebSocket of its own, such as the package `ws`. */
  WebSocket?: WebSocketClass | undefined;
}

/** A client over the browser's own WebSocket. Brings nothing else into a bundle. */
export function createPlainClient(options: PlainClientOptions = {}): Client {
  checkNames('options', options, [...CLIENT_OPTIONS, 'WebSocket']);
  const { WebSocket, ...rest } = options;
  return new Client(plainTransport(WebSocket), rest);
}

/** A client over Socket.IO, which gets through where WebSocket does not. Needs `socket.io-client`. */
export function createSocketIoClient(options: ClientOptions & SocketIoOptions = {}): Client {
  checkNames('options', options, [...CLIENT_OPTIONS, 'io', 'transports']);
  const { io, transports, ...rest } = options;
  return new Client(socketIoTransport({ io, transports }), rest);
}

export type Protocol = 'socket.io' | 'websocket';

export interface AnyClientOptions extends ClientOptions, SocketIoOptions {
  /** By default plain WebSocket for a URL that begins with `ws`, Socket.IO for every other. */
  protocol?: Protocol | undefined;
  WebSocket?: WebSocketClass | undefined;
}

export function protocolOf({ protocol, url }: AnyClientOptions): Protocol {
  return protocol ?? (url && /^wss?:/.test(url) ? 'websocket' : 'socket.io');
}

/** A client over either. */
export function createClient(options: AnyClientOptions = {}): Client {
  checkNames('options', options, [...CLIENT_OPTIONS, 'protocol', 'io', 'transports', 'WebSocket']);
  const { protocol, io, transports, WebSocket, ...rest } = options;
  const open = protocolOf(options) === 'websocket' ? plainTransport(WebSocket) : socketIoTransport({ io, transports });
  return new Client(open, rest);
}
