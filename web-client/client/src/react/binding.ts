import { createContext, useContext, useEffect, useLayoutEffect, useMemo, useRef } from 'react';

import type { Client } from '../client.js';
import type { OrgcastError } from '../errors.js';
import { said } from '../names.js';
import { checkOptions, OPTION_NAMES, type Options, toWish } from '../options.js';
import { CONNECTING, type Shared, share, type Wish } from '../shared.js';
import { type ConnectionState, INITIAL_STATE } from '../types.js';
import type { DashboardRealtimeOptions } from './dashboard.js';
import type { EventOptions } from './events.js';
import type { UseWebSocketOptions } from './use-websocket.js';

/** Options that the hooks have beside those of the connection. */
const HOOK_OPTIONS = {
  enabled: 1,
  channel: 1,
  onConnect: 1,
  onDisconnect: 1,
  onReconnect: 1,
  onError: 1,
  onMessage: 1,
  onUpdate: 1,
  onRefresh: 1,
  autoRefreshInterval: 1,
} satisfies {
  [O in Exclude<keyof (EventOptions & UseWebSocketOptions & DashboardRealtimeOptions), keyof Options>]: 1;
};

export const HOOK_NAMES: readonly string[] = /* @__PURE__ */ Object.keys(HOOK_OPTIONS);

/** Whether it is the name of an option of a hook or of its connection. */
export function isHookOption(name: string): boolean {
  return OPTION_NAMES.includes(name) || HOOK_NAMES.includes(name);
}

/** The options of the provider around a component. */
export const ProviderOptions = createContext<Options | undefined>(undefined);

/**
 * A component's hold on a shared connection. Nothing happens before an effect: a render that is thrown away leaves
 * nothing behind.
 */
export class Binding {
  #wish: Wish;
  #shared: Shared | undefined;
  #release: (() => void) | undefined;

  constructor(wish: Wish) {
    this.#wish = wish;
  }

  /**
   * For effects and event handlers, also those of children, whose effects run first. Who lets go of something after
   * the component let go of the connection does not hold it again.
   */
  get client(): Client {
    return (this.#shared ?? this.retain()).client;
  }

  /**
   * The state of the connection. Before there is one, as on a server that renders for a browser, it is about to be
   * made, unless nobody wants that.
   */
  state = (): ConnectionState => {
    const before = this.#wish.autoConnect === false ? INITIAL_STATE : CONNECTING;
    return this.#shared?.state ?? before;
  };

  retain(): Shared {
    if (this.#shared && this.#release) return this.#shared;
    const shared = share(this.#wish);
    this.#shared = shared;
    this.#release = shared.take(this.#wish);
    return shared;
  }

  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

/** The latest of a value that comes anew with every render, for those who act later. */
export function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useCommit(() => {
    latest.current = value;
  });
  return latest;
}

/** Layout effects run before every effect that could read the value; a server has none. */
const useCommit = typeof window === 'undefined' ? useEffect : useLayoutEffect;

/**
 * A binding for these options on top of the provider's. Another connection is taken when what tells connections
 * apart changes; functions may be new with every render.
 */
export function useBinding(own: Options, isHint: boolean): Binding {
  const around = useContext(ProviderOptions);
  const options = useMemo(() => {
    checkOptions('the options', own, HOOK_NAMES);
    return { ...around, ...said(own) };
  }, [around, own]);
  const latest = useLatest(options);
  const { getToken, warn, ...plain } = toWish(options);
  const [hasToken, hasWarn] = [getToken !== undefined, typeof warn === 'function'];
  const key = JSON.stringify([plain, isHint, hasToken, hasWarn, warn]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is the wish without its functions
  const binding = useMemo(() => {
    const now = () => toWish(latest.current);
    return new Binding({
      ...plain,
      isHint,
      getToken: hasToken ? () => now().getToken?.() ?? '' : undefined,
      warn: hasWarn ? (warning) => tell(now().warn, warning) : warn,
    });
  }, [key]);
  useEffect(() => {
    binding.retain();
    return () => binding.release();
  }, [binding]);
  return binding;
}

/** Gives a warning to the function that is there by now. */
export function tell(warn: Wish['warn'], warning: OrgcastError): void {
  if (typeof warn === 'function') warn(warning);
}
