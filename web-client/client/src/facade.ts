import type { Client } from './client.js';
import type { OrgcastError } from './errors.js';
import type { Channel, EventName, Message, MessageOf, PayloadOf } from './events.js';
import { type Filter, type Id, ORGANIZATION } from './filter.js';
import { checkNames } from './names.js';
import { checkOptions, type Options, toWish } from './options.js';
import { type Shared, share } from './shared.js';
import type { ConnectionState, HandlerOptions } from './types.js';

const HANDLERS = {
  onKPIUpdate: 'kpi:update',
  onKPIComputed: 'kpi:computed',
  onKPIAlert: 'kpi:alert',
  onBacklogUpdate: 'backlog:update',
  onBacklogSnapshot: 'backlog:snapshot',
  onBacklogAlert: 'backlog:alert',
  onAttendanceUpdate: 'attendance:update',
  onAttendanceCheckin: 'attendance:checkin',
  onAttendanceCheckout: 'attendance:checkout',
  onAttendanceAlert: 'attendance:alert',
  onAlertTriggered: 'alert:triggered',
  onAlertAcknowledged: 'alert:acknowledged',
  onAlertResolved: 'alert:resolved',
  onAlertEscalated: 'alert:escalated',
  onSystemNotification: 'system:notification',
  onSystemBroadcast: 'system:broadcast',
  onSystemMaintenance: 'system:maintenance',
} as const satisfies Record<string, EventName>;

type EventHandlers = {
  [H in keyof typeof HANDLERS]?: (payload: PayloadOf<(typeof HANDLERS)[H]>, message: Message) => void;
};

const LIFECYCLE_HANDLERS = ['onConnect', 'onAuthenticated', 'onDisconnect', 'onReconnect', 'onError'];

export interface Handlers extends EventHandlers {
  onConnect?: () => void;
  onAuthenticated?: () => void;
  onDisconnect?: (reason: string) => void;
  /** Connected, authenticated and subscribed again. */
  onReconnect?: () => void;
  onError?: (error: OrgcastError) => void;
}

/** Attaches `onConnect` and its like; the function detaches them. */
export function attach(client: Client, handlers: Handlers): () => void {
  checkNames('the handlers', handlers, [...LIFECYCLE_HANDLERS, ...Object.keys(HANDLERS)]);
  const { onConnect, onAuthenticated, onDisconnect, onReconnect, onError } = handlers;
  const offs = [
    onConnect && client.when('connect', () => onConnect()),
    onAuthenticated && client.when('authenticated', () => onAuthenticated()),
    onDisconnect && client.when('disconnect', ({ reason }) => onDisconnect(reason)),
    onReconnect && client.when('reconnect', () => onReconnect()),
    onError && client.when('error', (error) => onError(error)),
    ...Object.entries(HANDLERS).map(([name, event]) => {
      const handler = handlers[name as keyof EventHandlers] as ((payload: unknown, m: Message) => void) | undefined;
      // They hear what was subscribed to, and subscribe to nothing.
      return handler && client.on(event, (message) => handler(message.payload, message), { channel: false });
    }),
  ];
  return () => {
    for (const off of offs) off?.();
  };
}

/**
 * The page's client without React: the connection that the hooks use too. Made when it is first used.
 */
export class WebSocketClient {
  #shared: Shared | undefined;
  #options: Options = {};
  #release: (() => void) | undefined;

  /** Says where to connect and, if it is known already, as whom. Connects unless `autoConnect` is false. */
  initialize(options: Options): this {
    checkOptions('the options', options);
    if (this.#shared?.isClosed) this.#forget();
    this.#options = { ...this.#options, ...options };
    this.#take({ autoConnect: true, ...this.#options });
    return this;
  }

  connect(token?: string): void {
    if (token === undefined) this.#use().connect();
    else
      this.authenticate({ token }).catch(() => {
        // It is in `state.error`, and every `onError` was called.
      });
  }

  disconnect(): void {
    this.#use().disconnect();
  }

  reconnect(): void {
    this.#use().reconnect();
  }

  authenticate(userId: Id, organizationId: Id): Promise<void>;
  authenticate(who: { token: string }): Promise<void>;
  authenticate(who: Id | { token: string }, organizationId?: Id): Promise<void> {
    const { token } = who as { token?: string };
    if (this.#shared?.isClosed) this.#forget();
    const identity = token === undefined ? { userId: who as Id, organizationId } : { token };
    this.#options = { ...this.#options, ...identity };
    const client = this.#use();
    const done = client.authenticate(identity);
    this.#take({ autoConnect: false, ...this.#options });
    return done;
  }

  /** Channels with a filter: resolves with the rooms. An event with a handler: gives the function that ends it. */
  subscribe(channels: Channel[], filter?: Filter): Promise<string[]>;
  subscribe<E extends EventName | '*'>(event: E, handler: (message: MessageOf<E>) => void): () => void;
  subscribe(
    what: EventName | '*' | Channel[],
    how?: Filter | ((message: never) => void),
  ): Promise<string[]> | (() => void) {
    return typeof how === 'function'
      ? this.#use().on(what as EventName, how as (message: Message) => void)
      : this.#use().subscribe(what as Channel[], how);
  }

  unsubscribe(channels: Channel[], filter?: Filter): Promise<void> {
    return this.#use().unsubscribe(channels, filter);
  }

  /** An event's handler gets the whole message; handlers by name get the payload. */
  on<E extends EventName | '*'>(
    event: E,
    handler: (message: MessageOf<E>) => void,
    options?: HandlerOptions,
  ): () => void;
  on(handlers: Handlers): () => void;
  on(what: EventName | '*' | Handlers, handler?: (message: never) => void, options?: HandlerOptions): () => void {
    if (typeof what === 'object') return attach(this.#use(), what);
    return this.#use().on(what as EventName, handler as (message: Message) => void, options);
  }

  get state(): ConnectionState {
    return this.#use().state;
  }

  get isConnected(): boolean {
    return this.state.isConnected;
  }

  get isAuthenticated(): boolean {
    return this.state.isAuthenticated;
  }

  get connectionStatus(): ConnectionState['status'] {
    return this.state.status;
  }

  /** The client beneath, with everything that it can do. */
  get client(): Client {
    return this.#use();
  }

  #use(): Client {
    if (this.#shared?.isClosed) this.#forget();
    if (!this.#shared) this.#take({ autoConnect: false, ...this.#options });
    return (this.#shared as Shared).client;
  }

  /** After `disconnectAll`: where to connect is known still, as whom is not. */
  #forget(): void {
    const { token: _, getToken: __, userId: ___, user_id: ____, ...rest } = this.#options;
    for (const name of ORGANIZATION) delete rest[name];
    this.#options = rest;
    this.#shared = undefined;
  }

  #take(options: Options): void {
    const wish = toWish(options);
    const before = this.#release;
    this.#shared ??= share(wish);
    this.#release = this.#shared.take(wish);
    before?.();
  }
}

export const websocketClient: WebSocketClient = /* @__PURE__ */ new WebSocketClient();

/** The page's one client. Options count like those of `initialize`. */
export function getWebSocketClient(options?: Options): WebSocketClient {
  return options ? websocketClient.initialize(options) : websocketClient;
}
