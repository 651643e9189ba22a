import type { Clock } from './clock.js';

/** Timers by name, at most one of each. */
export class Timers {
  #clock: () => Clock;
  #running = new Map<string, unknown>();

  constructor(clock: () => Clock) {
    this.#clock = clock;
  }

  has(name: string): boolean {
    return this.#running.has(name);
  }

  set(name: string, ms: number, run: () => void): void {
    this.cancel(name);
    const timer = this.#clock().setTimeout(() => {
      this.#running.delete(name);
      run();
    }, ms);
    this.#running.set(name, timer);
  }

  cancel(name: string): void {
    this.#clock().clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clear(): void {
    for (const name of [...this.#running.keys()]) this.cancel(name);
  }
}
