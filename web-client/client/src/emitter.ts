/** Handlers by name. One that throws takes none of the others with it. */
export class Emitter {
  #handlers = new Map<string, Set<(value: never) => void>>();

  on(name: string, handler: (value: never) => void): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers);
    // A wrapper of its own, so that the same function may be there twice.
    const own = (value: never) => handler(value);
    handlers.add(own);
    return () => {
      handlers.delete(own);
      if (handlers.size === 0 && this.#handlers.get(name) === handlers) this.#handlers.delete(name);
    };
  }

  emit(name: string, value: unknown): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) callSafely(handler, value as never);
  }
}

/** Calls somebody else's function; what it throws is reported and stays there. */
export function callSafely<T>(handler: (value: T) => void, value: T): void {
  try {
    handler(value);
  } catch (error) {
    if (typeof reportError === 'function') reportError(error);
    else console.error(error);
  }
}
