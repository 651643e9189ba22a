import { Client } from './client.js';
import { type AnyClientOptions, protocolOf } from './connect.js';
import { said } from './names.js';
import { plainTransport } from './plain.js';
import { socketIoTransport } from './socket-io.js';
import type { OpenTransport } from './transport.js';
import { type ConnectionState, INITIAL_STATE } from './types.js';

export interface Wish extends AnyClientOptions {
  /** Connect when this is wished for; true. */
  autoConnect?: boolean | undefined;
  /** A hint gives way to everybody who says the same thing for sure. */
  isHint?: boolean | undefined;
  /** What `getToken` gives, where that is fixed. */
  token?: string | undefined;
}

/** The state of what is about to connect. */
export const CONNECTING: ConnectionState = { ...INITIAL_STATE, status: 'connecting' };

/** How long a connection outlives the last one who wanted it: remounting costs no reconnect. */
const GRACE_MS = 250;

/** What tells connections apart. */
const KEYS = ['url', 'path', 'protocol', 'userId', 'organizationId'] as const;

/** A connection that several share, and what they wish of it. */
export class Shared {
  readonly client: Client;
  #options: AnyClientOptions = {};
  #token: string | undefined;
  #wishes = new Set<Wish>();
  #farewell: ReturnType<typeof setTimeout> | undefined;
  #dialing = false;
  #hasDialed = false;
  isClosed = false;

  constructor() {
    // Which protocol it will be is known when the first connection is made.
    const open: OpenTransport = (endpoint, listener) => {
      const { WebSocket, io, transports } = this.#options;
      const isPlain = protocolOf(this.#options) === 'websocket';
      return (isPlain ? plainTransport(WebSocket) : socketIoTransport({ io, transports }))(endpoint, listener);
    };
    this.client = new Client(open);
  }

  /** The client's state; that of one which connects in a moment is not that it is disconnected. */
  get state(): ConnectionState {
    const { state } = this.client;
    return this.#dialing && this.isWanted && state.status === 'disconnected' ? CONNECTING : state;
  }

  get isWanted(): boolean {
    return this.#wishes.size > 0;
  }

  /** Whether everybody here and the newcomer can have what they wish. */
  suits(wish: Wish): boolean {
    return [...this.#wishes].every(
      (other) => other.isHint || KEYS.every((key) => agree(keyed(other, key), keyed(wish, key))),
    );
  }

  is(wish: Wish): boolean {
    return KEYS.every((key) => agree(keyed(this.#options, key), keyed(wish, key)));
  }

  /** Takes a wish in; the function takes it back. */
  take(wish: Wish): () => void {
    clearTimeout(this.#farewell);
    this.#wishes.add(wish);
    const { isHint, autoConnect = true, token, ...options } = wish;
    const known = said(options);
    const before = JSON.stringify(KEYS.map((key) => this.#options[key]));
    const hadToken = this.#options.getToken !== undefined;
    this.#options = isHint ? { ...known, ...this.#options } : { ...this.#options, ...known };
    const { protocol: _, io: __, transports: ___, WebSocket: ____, ...rest } = this.#options;
    this.client.configure(rest);
    if (before !== JSON.stringify(KEYS.map((key) => this.#options[key]))) this.#hasDialed = false;
    // Who was refused may have better luck with what is new; nobody else is interrupted for it.
    const isNew = (!hadToken && options.getToken !== undefined) || (token !== undefined && token !== this.#token);
    this.#token = token ?? this.#token;
    if (isNew && this.client.state.status === 'error') this.#hasDialed = false;
    if (autoConnect && !this.#hasDialed) this.#dial();
    return () => {
      if (!this.#wishes.delete(wish) || this.#wishes.size > 0) return;
      this.#farewell = setTimeout(() => this.close(), GRACE_MS);
    };
  }

  close(): void {
    clearTimeout(this.#farewell);
    this.isClosed = true;
    this.#wishes.clear();
    this.client.disconnect();
    all.delete(this);
  }

  /** In a moment, when everybody who mounts together has been heard. Who was sent away stays away. */
  #dial(): void {
    if (this.#dialing) return;
    this.#dialing = true;
    queueMicrotask(() => {
      this.#dialing = false;
      if (!this.isWanted) return;
      this.#hasDialed = true;
      this.client.connect();
    });
  }
}

const all = new Set<Shared>();

/**
 * The shared connection for a wish: the one that has it already, else one that nobody wants otherwise, else a new
 * one. A hint is content with any.
 */
export function share(wish: Wish): Shared {
  const known = [...all];
  const found =
    known.find((shared) => shared.suits(wish) && shared.is(wish)) ??
    known.find((shared) => shared.suits(wish)) ??
    (wish.isHint ? known[0] : undefined) ??
    new Shared();
  all.add(found);
  return found;
}

/** Ends every shared connection and forgets who used them: for logging out. */
export function disconnectAll(): void {
  for (const shared of [...all]) shared.close();
}

function keyed(options: AnyClientOptions, key: (typeof KEYS)[number]): string | undefined {
  const value = options[key];
  return value === undefined || value === null ? undefined : String(value);
}

function agree(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined || one === other;
}
