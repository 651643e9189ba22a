import { type Clock, systemClock } from './clock.js';
import type { OrgcastError } from './errors.js';
import type { Channel, EventName } from './events.js';
import type { Filter, Id } from './filter.js';
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
  /** The channels of events that the server's configuration adds or moves: its table `events`. */
  events?: { readonly [E in EventName]?: Channel } | undefined;
  /** What becomes of warnings: `console.warn`, nothing (false), or a function of yours. Each is given once. */
  warn?: boolean | ((warning: OrgcastError) => void) | undefined;
  /** Log what happens with `console.debug`. */
  debug?: boolean | undefined;
  /** Numbers from 0 up to, not including, 1; `Math.random`. */
  random?: (() => number) | undefined;
  /** Time, for tests. */
  clock?: Clock | undefined;
}

/** Every option with its default. */
export const DEFAULTS = {
  url: undefined,
  path: undefined,
  userId: undefined,
  organizationId: undefined,
  getToken: undefined,
  reconnect: true,
  maxReconnectAttempts: Number.POSITIVE_INFINITY,
  reconnectBaseDelay: 1000,
  reconnectMaxDelay: 30_000,
  heartbeatInterval: 25_000,
  heartbeatTimeout: 10_000,
  timeout: 20_000,
  events: undefined,
  warn: true,
  debug: false,
  random: Math.random,
  clock: systemClock,
} satisfies Required<ClientOptions>;

export const CLIENT_OPTIONS: readonly string[] = /* @__PURE__ */ Object.keys(DEFAULTS);

/** The options with the defaults of those that nobody gave. */
export type Settings = ClientOptions & {
  [O in keyof typeof DEFAULTS as (typeof DEFAULTS)[O] extends undefined ? never : O]: NonNullable<ClientOptions[O]>;
};

/** What a handler of an event hears. */
export interface HandlerOptions {
  /** The channel that the handler brings along, if not the event's own; none if false. */
  channel?: Channel | false | undefined;
  /** The part of the channel that it wants to hear. */
  filter?: Filter | undefined;
}

export type ConnectionStatus = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** The connection at one moment. Never changed, only replaced. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  readonly isConnected: boolean;
  readonly isAuthenticated: boolean;
  /** Connected, and neither a token nor an organization is there to authenticate with: nothing will be heard. */
  readonly isAnonymous: boolean;
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

/** The names of what happens to a connection. */
export const LIFECYCLE = [
  'connect',
  'authenticated',
  'disconnect',
  'reconnect',
  'error',
] as const satisfies (keyof Lifecycle)[];

/** What a state says without a connection. */
export const OFFLINE = {
  isConnected: false,
  isAuthenticated: false,
  isAnonymous: false,
  isLive: false,
  transport: null,
  connectionId: null,
  organizationId: null,
};

export const INITIAL_STATE: ConnectionState = {
  ...OFFLINE,
  status: 'disconnected',
  latency: null,
  lastPongAt: null,
  connectedAt: null,
  error: null,
  reconnectAttempts: 0,
};
