export interface Backoff {
  /** Upper bound of the first delay in milliseconds; doubles with every attempt. */
  base: number;
  /** Upper bound of every delay in milliseconds. */
  max: number;
}

/**
 * Exponential backoff with full jitter: anything from 0 up to the bound, so that the clients of a server that went
 * away do not come back all at once. `attempt` counts from 0; `random` gives numbers from 0 up to, not including, 1.
 */
export function backoffDelay(attempt: number, { base, max }: Backoff, random: () => number): number {
  return Math.floor(random() * Math.min(max, base * 2 ** attempt));
}
