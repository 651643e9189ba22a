import type { Clock } from './clock.js';
import type { OrgcastError } from './errors.js';
import type { Id } from './filter.js';
import type { Endpoint, Via } from './transport.js';

export interface Identity {
  userId?: Id | undefined;
  organizationId?: Id | undefined;
}

export interface ClientOptions extends Endpoint, Identity {
  /** Called on every connect and reconnect, and again before the identity runs out. */
  getToken?: (() => string | Promise<string>) | undefined;
  /** Come back by itself; true. */
  reconnect?: boolean | undefined;
  /** Failed attempts in a row before it gives up; no limit. */
  maxReconnectAttempts?: number | undefined;
  /** Upper bound of the first delay, doubling with every attempt; 1000 ms. */
  reconnectBaseDelay?: number | undefined;
  /** Upper bound of every delay; 30 000 ms. */
  reconnectMaxDelay?: number | undefined;
  /** Between two pings; 25 000 ms. */
  heartbeatInterval?: number | undefined;
  /** How long an answer to a ping may take before the connection counts as dead; 10 000 ms. */
  heartbeatTimeout?: number | undefined;
  /** How long connecting, and every answer, may take; 20 000 ms. */
  timeout?: number | undefined;
  /** Log what happens with `console.debug`. */
  debug?: boolean | undefined;
  random?: (() => number) | undefined;
  clock?: Clock | undefined;
}

export type ConnectionStatus = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** The connection at one moment. Never changed, only replaced. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  readonly isConnected: boolean;
  readonly isAuthenticated: boolean;
  /** Authenticated, and every subscription is back. */
  readonly isLive: boolean;
  readonly transport: Via | null;
  /** Round trip of the last ping in milliseconds. */
  readonly latency: number | null;
  readonly lastPongAt: number | null;
  readonly connectedAt: number | null;
  readonly connectionId: string | null;
  /** Of whom the server has authenticated. */
  readonly organizationId: string | null;
  readonly error: OrgcastError | null;
  /** Failed attempts since the last connection. */
  readonly reconnectAttempts: number;
}

export interface Lifecycle {
  connect: undefined;
  authenticated: { connectionId: string; userId: string; organizationId: string };
  disconnect: { code: number; reason: string };
  /** Connected again, authenticated again and subscribed again. */
  reconnect: undefined;
  error: OrgcastError;
}

export const INITIAL_STATE: ConnectionState = {
  status: 'disconnected',
  isConnected: false,
  isAuthenticated: false,
  isLive: false,
  transport: null,
  latency: null,
  lastPongAt: null,
  connectedAt: null,
  connectionId: null,
  organizationId: null,
  error: null,
  reconnectAttempts: 0,
};
