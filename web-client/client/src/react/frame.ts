/**
 * A value that changes at most once a frame for those who watch it, however often it is set: for hooks of your own, with
 * `useSyncExternalStore(value.watch, value.get)`.
 */
export class FrameValue<T> {
  #shown: T;
  #next: T;
  #scheduled: (() => void) | undefined;
  #changed = new Set<() => void>();

  constructor(value: T) {
    this.#shown = value;
    this.#next = value;
  }

  get = (): T => this.#shown;

  watch = (changed: () => void): (() => void) => {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  };

  /** `set` from the latest value, shown or not. */
  change(update: (latest: T) => T): void {
    this.#next = update(this.#next);
    this.#scheduled ??= nextFrame(() => {
      this.#scheduled = undefined;
      this.#show();
    });
  }

  /** Sets and shows at once. */
  show(value: T): void {
    this.#next = value;
    this.#show();
  }

  #show(): void {
    if (Object.is(this.#shown, this.#next)) return;
    this.#shown = this.#next;
    for (const changed of [...this.#changed]) changed();
  }
}

/** A page that is not visible gets no frames; a timer stands in for them. */
const FRAMELESS_MS = 100;

function nextFrame(run: () => void): () => void {
  let frame: number | undefined;
  const once = () => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
    run();
  };
  const timer = setTimeout(once, FRAMELESS_MS);
  if (typeof requestAnimationFrame === 'function') frame = requestAnimationFrame(once);
  return once;
}
