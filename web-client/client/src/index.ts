export { type Backoff, backoffDelay } from './backoff.js';
export { channelOf } from './catalogue.js';
export { Client } from './client.js';
export type { Clock } from './clock.js';
export {
  type AnyClientOptions,
  createClient,
  createPlainClient,
  createSocketIoClient,
  type PlainClientOptions,
  type Protocol,
} from './connect.js';
export { type ErrorCode, OrgcastError, shouldReconnect } from './errors.js';
export * from './events.js';
export { getWebSocketClient, type Handlers, WebSocketClient, websocketClient } from './facade.js';
export { type Filter, type Id, type Place, toPlace } from './filter.js';
export type { Options } from './options.js';
export { plainTransport } from './plain.js';
export { disconnectAll } from './shared.js';
export { type SocketIoOptions, socketIoTransport } from './socket-io.js';
export type {
  Endpoint,
  Meta,
  OpenTransport,
  Transport,
  TransportListener,
  Via,
  WebSocketClass,
  WebSocketLike,
} from './transport.js';
export type {
  ClientOptions,
  ConnectionState,
  ConnectionStatus,
  HandlerOptions,
  Identity,
  Lifecycle,
} from './types.js';
