import { backoffDelay } from './backoff.js';
import { channelOf } from './catalogue.js';
import { Emitter } from './emitter.js';
import { isFinal, OrgcastError, shouldReconnect } from './errors.js';
import type { Channel, EventName, MessageOf } from './events.js';
import type { Filter } from './filter.js';
import { guest } from './guest.js';
import { makeMessage, type Welcome } from './message.js';
import { checkHandler, checkNames, said } from './names.js';
import { Subscriptions } from './subscriptions.js';
import { Timers } from './timers.js';
import type { Meta, OpenTransport, Transport } from './transport.js';
import {
  CLIENT_OPTIONS,
  type ClientOptions,
  type ConnectionState,
  DEFAULTS,
  type HandlerOptions,
  type Identity,
  INITIAL_STATE,
  LIFECYCLE,
  type Lifecycle,
  OFFLINE,
  type Settings,
} from './types.js';
import { aboutEvent, noIdentity, Warnings } from './warnings.js';

/** A connection that lasted so long was a good one: the next attempt is the first again. */
const STABLE_MS = 5000;

/** So long may a connection stay without an identity before somebody is told: there may be a form to fill in. */
const IDENTITY_MS = 3000;

/**
 * One connection to orgcast that keeps itself up. Nothing is sent before `connect`; subscriptions and handlers may
 * be there before, and survive every reconnect.
 */
export class Client {
  #settings: Settings = DEFAULTS;
  #open: OpenTransport;
  #state = INITIAL_STATE;
  #changed = new Set<() => void>();
  #events = new Emitter();
  /** Events that have not been looked up in the catalogue yet. */
  #unchecked = new Set<string>();
  #lifecycle = new Emitter();
  #warnings = new Warnings();
  #subscriptions: Subscriptions;
  #transport: Transport | undefined;
  #timers = new Timers(() => this.#settings.clock);
  #attempt = 0;
  #welcome: Welcome | undefined;
  #wasLive = false;
  #isLastToken = false;

  constructor(open: OpenTransport, options: ClientOptions = {}) {
    this.#open = open;
    this.configure(options);
    this.#subscriptions = new Subscriptions(
      (ms, run) => this.#settings.clock.setTimeout(run, ms),
      (error) => this.report(error),
    );
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get isConnected(): boolean {
    return this.#state.isConnected;
  }

  /** For `useSyncExternalStore` and its like: called after every change of `state`. */
  watch = (changed: () => void): (() => void) => {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  };

  /** What happens to the connection. */
  when<L extends keyof Lifecycle>(what: L, handler: (value: Lifecycle[L]) => void): () => void {
    checkNames('when', { [what]: handler }, LIFECYCLE);
    checkHandler(what, handler);
    return this.#lifecycle.on(what, handler);
  }

  /**
   * Handles an event, `*` all of them. The handler brings the event's channel along, organization-wide, unless
   * this client subscribed to a part of that channel or `channel: false` says otherwise.
   */
  on<E extends EventName | '*'>(
    event: E,
    handler: (message: MessageOf<E>) => void,
    options: HandlerOptions = {},
  ): () => void {
    const { filter, channel = this.#settings.events?.[event as EventName] ?? channelOf(event) } = options;
    checkHandler(event, handler);
    checkNames(event, options, ['channel', 'filter']);
    const how = filter ? 'explicit' : 'implied';
    if (channel) void this.#subscriptions.add(channel, filter, how);
    // Who names its channel means it.
    if (!options.channel) this.#unchecked.add(event);
    if (this.#state.isLive) this.#checkEvents();
    const off = this.#events.on(event, handler);
    if (!channel) return off;
    let isOn = true;
    return () => {
      off();
      if (isOn) this.#subscriptions.remove(channel, filter, how);
      isOn = false;
    };
  }

  /**
   * Subscribes, once however many ask for the same; `unsubscribe` as often as you subscribed. Resolves with the
   * rooms when the server has answered, after a connection is there; rejects with its refusal.
   */
  async subscribe(channels: Channel | Channel[], filter?: Filter): Promise<string[]> {
    const asked = [channels].flat();
    const outcomes = await Promise.allSettled(asked.map((name) => this.#subscriptions.add(name, filter, 'explicit')));
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    if (refused) {
      this.unsubscribe(channels, filter);
      throw refused.reason;
    }
    return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  }

  async unsubscribe(channels: Channel | Channel[], filter?: Filter): Promise<void> {
    for (const name of [channels].flat()) this.#subscriptions.remove(name, filter, 'explicit');
    return this.#subscriptions.flush();
  }

  /** `subscribe` for those who do not wait: gives the function that lets go. Refusals are reported as `error`. */
  hold(channels: Channel | Channel[], filter?: Filter): () => void {
    for (const name of [channels].flat()) void this.#subscriptions.add(name, filter, 'explicit');
    let isHeld = true;
    return () => {
      if (isHeld) void this.unsubscribe(channels, filter);
      isHeld = false;
    };
  }

  /** Sends one message; resolves with the server's answer, rejects with an `OrgcastError`. */
  async send(event: string, data?: unknown, timeout = this.#settings.timeout): Promise<unknown> {
    const transport = this.#transport;
    if (!transport) throw new OrgcastError('DISCONNECTED', 'there is no connection');
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this.#settings.clock.setTimeout(
        () => reject(new OrgcastError('TIMEOUT', `${event}: no answer within ${timeout} ms`)),
        timeout,
      );
    });
    try {
      const reply = await Promise.race([transport.request(event, data), late]);
      if ((reply as { success?: boolean } | null)?.success === false) throw OrgcastError.from(reply);
      return reply;
    } finally {
      this.#settings.clock.clearTimeout(timer);
    }
  }

  /** Stays connected from now on. Does nothing if it already tries to. */
  connect = (): void => {
    if (this.#transport || this.#timers.has('retry')) return;
    this.#attempt = 0;
    this.#dial();
  };

  /** Ends the connection and stays away. */
  disconnect = (): void => {
    this.#drop(1000, 'closed by the client');
    if (typeof removeEventListener === 'function') removeEventListener('online', this.#online);
    this.#update({ status: 'disconnected', reconnectAttempts: 0 });
    this.#subscriptions.abandon(new OrgcastError('DISCONNECTED', 'the client was disconnected'));
  };

  /** Connects anew at once, whatever state it is in. */
  reconnect = (): void => {
    this.#drop(1000, 'reconnecting');
    this.#attempt = 0;
    this.#dial();
  };

  /** Says who this is and resolves when the server agrees; connects if it has to. */
  async authenticate(identity: Identity & { token?: string }): Promise<void> {
    const { token, ...rest } = identity;
    this.configure(token === undefined ? rest : { getToken: () => token });
    if (token !== undefined && this.#isActive()) this.reconnect();
    else this.connect();
    if (this.#state.isAuthenticated) return;
    if (!this.#isActive()) throw this.#state.error;
    await new Promise<void>((resolve, reject) => {
      const off = [
        this.when('authenticated', () => done(resolve)),
        this.when('error', (error) => (isFinal(error) || !this.#isActive()) && done(() => reject(error))),
      ];
      const done = (settle: () => void) => {
        for (const stop of off) stop();
        settle();
      };
    });
  }

  /** Changes options; what is not mentioned, or undefined, stays. A new endpoint or another person means a new connection, if there is one. */
  configure(options: ClientOptions): void {
    checkNames('options', options, CLIENT_OPTIONS);
    const before = this.#settings;
    this.#settings = { ...before, ...said(options) };
    const { url, path, userId, organizationId, getToken } = this.#settings;
    if (!this.#isActive()) return;
    const isMoved = url !== before.url || (path ?? '/ws') !== (before.path ?? '/ws');
    // A function that is made anew with every render still means the same person.
    const isOther = getToken ? !before.getToken : userId !== before.userId || organizationId !== before.organizationId;
    if (isMoved || (isOther && this.#welcome)) this.reconnect();
    else if (isOther && this.#state.isConnected) void this.#enter();
  }

  /** The network is back: no reason to wait. */
  #online = (): void => {
    if (this.#timers.has('retry')) this.#dial();
  };

  #isActive(): boolean {
    return this.#transport !== undefined || this.#timers.has('retry');
  }

  #dial(): void {
    const { timeout, url, path } = this.#settings;
    this.#timers.cancel('retry');
    if (typeof addEventListener === 'function') addEventListener('online', this.#online);
    this.#update({ status: this.#wasLive || this.#attempt > 0 ? 'reconnecting' : 'connecting' });
    // Late words of an earlier connection fall on deaf ears.
    const isCurrent = () => this.#transport === transport;
    let transport: Transport | undefined;
    try {
      transport = this.#open(
        { url, path },
        {
          opened: () => isCurrent() && this.#opened(),
          received: (event, payload, meta, acknowledge) => {
            if (isCurrent()) this.#received(event, payload, meta, acknowledge);
          },
          switched: (via) => isCurrent() && this.#update({ transport: via }),
          closed: (code, reason, error) => isCurrent() && this.#closed(code, reason, error),
        },
      );
    } catch (failure) {
      // Nothing that time could mend: no server's address, no WebSocket.
      const { message } = failure as Error;
      const error = failure instanceof OrgcastError ? failure : new OrgcastError('CONNECTION_FAILED', message);
      this.#closed(1008, message, error);
      return;
    }
    this.#transport = transport;
    this.#timers.set('connect', timeout, () => this.#closed(1006, `no connection within ${timeout} ms`));
  }

  #opened(): void {
    this.#timers.cancel('connect');
    this.#update({ status: 'connected', isConnected: true, connectedAt: this.#settings.clock.now(), error: null });
    this.#lifecycle.emit('connect', undefined);
    void this.#beat();
    void this.#enter();
  }

  /** Authenticates if it can be told as whom, then brings the subscriptions back. */
  async #enter(): Promise<void> {
    const transport = this.#transport;
    const { getToken, userId, organizationId } = this.#settings;
    const isStale = () => transport !== this.#transport || transport === undefined;
    const isAnonymous = !getToken && organizationId === undefined;
    this.#timers.cancel('identity');
    this.#update({ isAnonymous });
    if (isAnonymous) {
      this.#timers.set('identity', IDENTITY_MS, () => this.#warn(noIdentity()));
      return;
    }
    try {
      let claim: object = { user_id: String(userId ?? guest()), organization_id: String(organizationId) };
      if (getToken) {
        const token = await Promise.resolve()
          .then(getToken)
          .catch((error) => {
            throw new OrgcastError('TOKEN_UNAVAILABLE', error instanceof Error ? error.message : String(error));
          });
        if (isStale()) return;
        claim = { token };
      }
      const welcome = (await this.send('authenticate', claim)) as Welcome;
      if (isStale()) return;
      this.#welcomed(welcome);
    } catch (failure) {
      if (!isStale()) this.#refused(failure as OrgcastError);
      return;
    }
    await this.#subscriptions.resume((event, data) => this.send(event, data));
    if (isStale() || this.#state.isLive) return;
    this.#update({ isLive: true, reconnectAttempts: 0 });
    if (this.#wasLive) this.#lifecycle.emit('reconnect', undefined);
    this.#wasLive = true;
    this.#checkEvents();
  }

  #checkEvents(): void {
    for (const event of this.#unchecked) {
      const warning = aboutEvent(event, this.#settings.events);
      if (warning) this.#warn(warning);
    }
    this.#unchecked.clear();
  }

  #welcomed(welcome: Welcome): void {
    this.#isLastToken = false;
    this.#welcome = welcome;
    const { connection_id: connectionId, organization_id: organizationId } = welcome;
    this.#update({ isAuthenticated: true, connectionId, organizationId, error: null });
    this.#lifecycle.emit('authenticated', { connectionId, userId: welcome.user_id, organizationId });
    if (!welcome.expires_at || !this.#settings.getToken) return;
    const left = Date.parse(welcome.expires_at) - this.#settings.clock.now();
    this.#timers.set('token', Math.max(1000, left * 0.9), () => void this.#enter());
  }

  #refused(error: OrgcastError): void {
    // A token may have run out on its way: a new one gets one chance.
    const isOver = isFinal(error) && (this.#isLastToken || !this.#settings.getToken);
    this.#isLastToken = isFinal(error) && !isOver;
    this.#closed(isOver ? 1008 : 1013, error.message, error);
  }

  #received(event: string, payload: unknown, meta: Meta, acknowledge?: () => void): void {
    if (event === 'error') {
      const error = OrgcastError.from(payload);
      this.#log('error', error);
      this.report(error);
      return;
    }
    const message = makeMessage(event, payload, meta, this.#welcome, this.#settings.clock.now());
    this.#log('event', message);
    this.#events.emit(event, message);
    this.#events.emit('*', message);
    acknowledge?.();
  }

  /** A ping now, and the next one an interval after its answer. */
  async #beat(): Promise<void> {
    const { heartbeatInterval, heartbeatTimeout } = this.#settings;
    const transport = this.#transport;
    const sentAt = this.#settings.clock.now();
    const isMissing = await this.send('client:ping', {}, heartbeatTimeout).then(
      () => false,
      (error: OrgcastError) => error.code === 'TIMEOUT',
    );
    if (!transport || transport !== this.#transport) return;
    const now = this.#settings.clock.now();
    // A page that was asleep finds the answer and the timeout waiting together; it asks again.
    const wasAsleep = now - sentAt > 2 * heartbeatTimeout;
    if (isMissing && !wasAsleep) {
      this.#closed(1006, `no answer to a ping within ${heartbeatTimeout} ms`);
      return;
    }
    if (!isMissing) this.#update({ latency: now - sentAt, lastPongAt: now });
    this.#timers.set('ping', isMissing ? 0 : heartbeatInterval, () => void this.#beat());
  }

  #closed(code: number, reason: string, cause?: OrgcastError): void {
    const { connectedAt, isConnected } = this.#state;
    if (isConnected && this.#settings.clock.now() - (connectedAt ?? 0) > STABLE_MS) this.#attempt = 0;
    this.#drop(code, reason);
    const { reconnect, maxReconnectAttempts } = this.#settings;
    const isRefused = !shouldReconnect(code);
    const isOver = isRefused || !reconnect || this.#attempt >= maxReconnectAttempts;
    const error =
      cause ??
      new OrgcastError(
        'CONNECTION_FAILED',
        `the connection ${isConnected ? 'was closed' : 'could not be made'}: ${reason || `close code ${code}`}`,
        undefined,
        code,
      );
    if (isOver) {
      this.#update({ status: isRefused || reconnect ? 'error' : 'disconnected', error });
      this.#subscriptions.abandon(error);
    } else {
      const { reconnectBaseDelay: base, reconnectMaxDelay: max, random } = this.#settings;
      const delay = backoffDelay(this.#attempt, { base, max }, random);
      this.#attempt += 1;
      // Who was told that there is no room now comes back no sooner than the first bound.
      const least = code === 1013 ? base : 0;
      this.#timers.set('retry', Math.max(delay, least, cause?.retryAfterMs ?? 0), () => this.#dial());
      this.#update({
        status: 'reconnecting',
        error,
        reconnectAttempts: this.#attempt,
      });
    }
    // A connection that was lost comes back, and a token that was refused may be followed by a better one.
    const isWeather = error.code === 'CONNECTION_FAILED' ? connectedAt !== null : isFinal(error);
    if (isOver || !isWeather) this.#warn(error);
    this.#lifecycle.emit('error', error);
  }

  /** The end of a connection, whoever ended it. */
  #drop(code: number, reason: string): void {
    const { isConnected } = this.#state;
    const transport = this.#transport;
    this.#transport = undefined;
    this.#welcome = undefined;
    this.#timers.clear();
    this.#subscriptions.pause();
    this.#update(OFFLINE);
    transport?.close();
    if (isConnected) this.#lifecycle.emit('disconnect', { code, reason });
  }

  /** Tells everybody of a failure that nobody awaited. */
  report(error: OrgcastError): void {
    this.#update({ error });
    this.#warn(error);
    this.#lifecycle.emit('error', error);
  }

  #warn(warning: OrgcastError): void {
    this.#warnings.give(this.#settings.warn, warning);
  }

  #update(change: Partial<ConnectionState>): void {
    const names = Object.keys(change) as (keyof ConnectionState)[];
    if (names.every((name) => this.#state[name] === change[name])) return;
    this.#state = { ...this.#state, ...change };
    this.#log('state', change);
    for (const changed of [...this.#changed]) changed();
  }

  #log(what: string, detail: unknown): void {
    if (this.#settings.debug) console.debug(`[orgcast] ${what}`, detail);
  }
}
