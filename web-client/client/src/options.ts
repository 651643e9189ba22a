import { checkFilter, FILTER_NAMES, type Filter, type Id, toPlace } from './filter.js';
import type { Wish } from './shared.js';

/** Options under every name that the systems before had for them. The first of a line counts. */
export interface Options extends Omit<Wish, 'isHint' | 'organizationId' | 'token'>, Filter {
  user_id?: Id | undefined;
  /** Authenticate as `userId` of the organization on connecting; true. */
  autoAuthenticate?: boolean | undefined;
  /** A fixed token; `getToken` is better, since tokens run out. */
  token?: string | undefined;

  reconnection?: boolean | undefined;
  autoReconnect?: boolean | undefined;
  reconnectEnabled?: boolean | undefined;

  reconnectionAttempts?: number | undefined;
  reconnectMaxAttempts?: number | undefined;

  reconnectionDelay?: number | undefined;
  reconnectInterval?: number | undefined;

  reconnectionDelayMax?: number | undefined;
}

/** The options under the names of this package. */
export function toWish(options: Options = {}): Wish {
  const o = options;
  const { token } = o;
  const isKnown = o.autoAuthenticate !== false;
  return {
    url: o.url,
    path: o.path,
    protocol: o.protocol,
    io: o.io,
    transports: o.transports,
    WebSocket: o.WebSocket,
    autoConnect: o.autoConnect,
    userId: isKnown ? (o.userId ?? o.user_id) : undefined,
    organizationId: isKnown ? toPlace(o).organization_id : undefined,
    token: isKnown && !o.getToken ? token : undefined,
    getToken: isKnown ? (o.getToken ?? (token === undefined ? undefined : () => token)) : undefined,
    reconnect: o.reconnect ?? o.reconnection ?? o.autoReconnect ?? o.reconnectEnabled,
    maxReconnectAttempts: o.maxReconnectAttempts ?? o.reconnectionAttempts ?? o.reconnectMaxAttempts,
    reconnectBaseDelay: o.reconnectBaseDelay ?? o.reconnectionDelay ?? o.reconnectInterval,
    reconnectMaxDelay: o.reconnectMaxDelay ?? o.reconnectionDelayMax,
    heartbeatInterval: o.heartbeatInterval,
    heartbeatTimeout: o.heartbeatTimeout,
    timeout: o.timeout,
    events: o.events,
    warn: o.warn,
    debug: o.debug,
    random: o.random,
    clock: o.clock,
  };
}

/** Names of options beside those that have a place of their own in a wish. */
const OTHER_NAMES = {
  user_id: 1,
  autoAuthenticate: 1,
  reconnection: 1,
  autoReconnect: 1,
  reconnectEnabled: 1,
  reconnectionAttempts: 1,
  reconnectMaxAttempts: 1,
  reconnectionDelay: 1,
  reconnectInterval: 1,
  reconnectionDelayMax: 1,
} satisfies { [O in Exclude<keyof Options, keyof Wish | keyof Filter>]: 1 };

/** Every name of an option. */
export const OPTION_NAMES: readonly string[] = /* @__PURE__ */ [
  ...new Set([...FILTER_NAMES, ...Object.keys(toWish()), ...Object.keys(OTHER_NAMES)]),
];

/** Throws for an option that nobody reads, and for ids that are none. */
export function checkOptions(what: string, options: Options, also: readonly string[] = []): void {
  checkFilter(what, options, [...OPTION_NAMES, ...also]);
}
