import { createContext, useContext, useEffect, useLayoutEffect, useMemo, useRef } from 'react';

import type { Client } from '../client.js';
import { type Options, toWish } from '../options.js';
import { type Shared, share, type Wish } from '../shared.js';

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

  /** For effects and event handlers, also those of children, whose effects run first. */
  get client(): Client {
    this.retain();
    return (this.#shared as Shared).client;
  }

  /** The client, if there is one already. */
  peek(): Client | undefined {
    return this.#shared?.client;
  }

  retain(): void {
    if (this.#release) return;
    this.#shared = share(this.#wish);
    this.#release = this.#shared.take(this.#wish);
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
  const options = useMemo(() => merged(around, own), [around, own]);
  const latest = useLatest(options);
  const wish = { ...toWish(options), isHint };
  const hasToken = wish.getToken !== undefined;
  const key = JSON.stringify([wish, hasToken]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is the wish without its functions
  const binding = useMemo(() => {
    const getToken = hasToken ? () => (toWish(latest.current).getToken as NonNullable<Wish['getToken']>)() : undefined;
    return new Binding({ ...wish, getToken });
  }, [key]);
  useEffect(() => {
    binding.retain();
    return () => binding.release();
  }, [binding]);
  return binding;
}

function merged(around: Options | undefined, own: Options): Options {
  const said = Object.entries(own).filter(([, value]) => value !== undefined);
  return { ...around, ...Object.fromEntries(said) };
}
