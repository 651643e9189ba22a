import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';

import type { Client } from '../client.js';
import { OrgcastError } from '../errors.js';
import type { Channel, EventName, Message, MessageOf } from '../events.js';
import { getWebSocketClient } from '../facade.js';
import { type Filter, type Id, toPlace } from '../filter.js';
import { said } from '../names.js';
import type { Options } from '../options.js';
import type { ConnectionState, Identity } from '../types.js';
import { type Binding, useBinding, useLatest } from './binding.js';
import { FrameValue } from './frame.js';

export type WebSocketStatusName = 'CONNECTING' | 'CONNECTED' | 'DISCONNECTED' | 'ERROR';

const NAMES: Record<ConnectionState['status'], WebSocketStatusName> = {
  disconnected: 'DISCONNECTED',
  connecting: 'CONNECTING',
  connected: 'CONNECTED',
  reconnecting: 'CONNECTING',
  error: 'ERROR',
};

export interface UseWebSocketOptions extends Options {
  onConnect?: (() => void) | undefined;
  onDisconnect?: ((reason: string) => void) | undefined;
  onReconnect?: (() => void) | undefined;
  onError?: ((error: OrgcastError) => void) | undefined;
  /** Every event that this connection gets. */
  onMessage?: ((message: Message) => void) | undefined;
}

/** What can be done with the connection. The functions stay the same as long as the connection is the same. */
export interface WebSocketActions {
  connect(): void;
  disconnect(): void;
  reconnect(): void;
  /** Without arguments, as the user and organization of the options. */
  authenticate(userId?: Id, organizationId?: Id): Promise<void>;
  /** An event with a handler: gives the function that ends it. Channels with a filter: resolves with the rooms. */
  subscribe<E extends EventName | '*'>(event: E, handler: (message: MessageOf<E>) => void): () => void;
  subscribe(channels: Channel[], filter?: Filter): Promise<string[]>;
  unsubscribe(channels: Channel[], filter?: Filter): Promise<void>;
  subscribeToChannel(channel: Channel, filter?: Filter): void;
  unsubscribeFromChannel(channel: Channel, filter?: Filter): void;
  /** Sends without waiting; a refusal comes as `error`. False if there is no connection. */
  sendMessage(message: { type: string; data?: unknown; payload?: unknown }): boolean;
  /** Sends and resolves with the server's answer. */
  send(event: string, data?: unknown): Promise<unknown>;
}

export interface UseWebSocketResult extends WebSocketActions {
  isConnected: boolean;
  isAuthenticated: boolean;
  /** Connected, and there is nothing to authenticate with. */
  isAnonymous: boolean;
  /** Authenticated, and every subscription is in place. */
  isLive: boolean;
  status: WebSocketStatusName;
  connectionStatus: ConnectionState['status'];
  error: OrgcastError | null;
  latency: number | null;
  transport: ConnectionState['transport'];
  connectionId: string | null;
  /** Of whom the server has authenticated. */
  organizationId: string | null;
  reconnectAttempts: number;
  /** The last event, at most one a frame. A component that reads it hears all of the organization. */
  lastMessage: Message | null;
}

const NONE: UseWebSocketOptions = {};
const NOTHING = () => {};

/** The connection of these options, shared with everybody who means the same one. */
export function useWebSocket(options?: UseWebSocketOptions): UseWebSocketResult;
/** Not a hook in this form: for use inside an effect; gives the function that ends it. */
export function useWebSocket<E extends EventName | '*'>(event: E, handler: (message: MessageOf<E>) => void): () => void;
export function useWebSocket(
  first?: UseWebSocketOptions | EventName | '*',
  handler?: (message: never) => void,
): UseWebSocketResult | (() => void) {
  return typeof first === 'string'
    ? getWebSocketClient().on(first as EventName, handler as (message: Message) => void)
    : connectionOf(first ?? NONE);
}

/** The hook under another name: whether it is called never changes in one place, since the form of a call doesn't. */
const connectionOf = useConnection;

function useConnection(options: UseWebSocketOptions): UseWebSocketResult {
  const binding = useBinding(options, false);
  const state = useConnectionState(binding);
  useCallbacks(binding, options);
  const latest = useLatest(options);
  const actions = useMemo(() => makeActions(binding, latest), [binding, latest]);
  const messages = useLastMessage(binding);
  return useMemo(
    () => ({
      ...actions,
      isConnected: state.isConnected,
      isAuthenticated: state.isAuthenticated,
      isAnonymous: state.isAnonymous,
      isLive: state.isLive,
      status: NAMES[state.status],
      connectionStatus: state.status,
      error: state.error,
      latency: state.latency,
      transport: state.transport,
      connectionId: state.connectionId,
      organizationId: state.organizationId,
      reconnectAttempts: state.reconnectAttempts,
      get lastMessage() {
        return messages.read();
      },
    }),
    [actions, state, messages],
  );
}

/** The state of the connection. */
export function useConnectionState(binding: Binding): ConnectionState {
  const watch = useMemo(() => (changed: () => void) => binding.client.watch(changed), [binding]);
  return useSyncExternalStore(watch, binding.state, binding.state);
}

function useCallbacks(binding: Binding, options: UseWebSocketOptions): void {
  const latest = useLatest(options);
  const hears = options.onMessage !== undefined;
  useEffect(() => {
    const { client } = binding;
    const offs = [
      client.when('connect', () => latest.current.onConnect?.()),
      client.when('disconnect', ({ reason }) => latest.current.onDisconnect?.(reason)),
      client.when('reconnect', () => latest.current.onReconnect?.()),
      client.when('error', (error) => latest.current.onError?.(error)),
      client.on('*', (message) => latest.current.onMessage?.(message as Message), { channel: hears ? 'all' : false }),
    ];
    return () => {
      for (const off of offs) off();
    };
  }, [binding, latest, hears]);
}

/**
 * The last message, for those who read it: only they are rendered for it, and only they bring the whole
 * organization's events along.
 */
function useLastMessage(binding: Binding): { read(): Message | null } {
  // biome-ignore lint/correctness/useExhaustiveDependencies: another connection begins with nothing
  const messages = useMemo(() => new FrameValue<Message | null>(null), [binding]);
  const isRead = useRef(false);
  const off = useRef<() => void>(undefined);
  useEffect(() => {
    // Whether it is read shows when the component has rendered.
    if (!isRead.current || off.current) return;
    off.current = binding.client.on('*', (message) => messages.change(() => message as Message), { channel: 'all' });
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another connection needs another handler
  useEffect(
    () => () => {
      off.current?.();
      off.current = undefined;
    },
    [binding],
  );
  const current = useSyncExternalStore(messages.watch, messages.get, () => null);
  return useMemo(
    () => ({
      read: () => {
        isRead.current = true;
        return current;
      },
    }),
    [current],
  );
}

function makeActions(binding: Binding, latest: { readonly current: UseWebSocketOptions }): WebSocketActions {
  const report = (client: Client) => (error: unknown) => {
    client.report(error instanceof OrgcastError ? error : new OrgcastError('INTERNAL_ERROR', String(error)));
  };
  const authenticate = async (userId?: Id, organizationId?: Id) => {
    const { current } = latest;
    await binding.client.authenticate({
      userId: userId ?? current.userId ?? current.user_id,
      organizationId: organizationId ?? toPlace(current).organization_id,
    });
  };
  return {
    connect: () => binding.client.connect(),
    disconnect: () => binding.client.disconnect(),
    reconnect: () => binding.client.reconnect(),
    authenticate,
    subscribe: ((what: EventName | Channel[], how?: Filter | ((message: Message) => void)) =>
      typeof how === 'function'
        ? binding.client.on(what as EventName, how)
        : binding.client.subscribe(what as Channel[], how)) as WebSocketActions['subscribe'],
    unsubscribe: (channels, filter) => binding.client.unsubscribe(channels, filter),
    subscribeToChannel: (channel, filter) => {
      binding.client.hold(channel, filter);
    },
    unsubscribeFromChannel: (channel, filter) => {
      void binding.client.unsubscribe(channel, filter);
    },
    sendMessage: ({ type, data, payload }) => {
      const { client } = binding;
      const content = data ?? payload;
      // The client has to know who it is, to be it again after a reconnect.
      const who = type === 'authenticate' ? identityIn(content) : undefined;
      const sent = who
        ? client.authenticate({ userId: latest.current.userId ?? latest.current.user_id, ...who })
        : client.send(type, content);
      sent.catch(client.isConnected ? report(client) : NOTHING);
      return client.isConnected;
    },
    send: (event, data) => binding.client.send(event, data),
  };
}

/** Who a message says that it is from. */
function identityIn(content: unknown): (Identity & { token?: string }) | undefined {
  const { token, userId, user_id } = (content ?? {}) as Options;
  const organizationId = toPlace(content as Filter).organization_id;
  if (token !== undefined) return { token };
  return organizationId === undefined ? undefined : said({ userId: userId ?? user_id, organizationId });
}
