import { OrgcastError } from './errors.js';

/**
 * Throws for a member that nobody reads: a slip in a filter would otherwise hear more than was meant, and one in an
 * option would change nothing. `what` says where it stands.
 */
export function checkNames(what: string, given: object | null | undefined, allowed: readonly string[]): void {
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value === undefined || allowed.includes(name)) continue;
    throw new OrgcastError('INVALID_ARGUMENT', `${what}: unknown \`${name}\`; allowed are ${allowed.join(', ')}`);
  }
}

/** Throws if something that has to be called can't be. */
export function checkHandler(what: string, handler: unknown): void {
  if (typeof handler === 'function') return;
  throw new OrgcastError('INVALID_ARGUMENT', `${what}: the handler must be a function, not ${typeof handler}`);
}

/** What is there: a member that is `undefined` says nothing. */
export function said<T extends object>(given: T): { [M in keyof T]?: Exclude<T[M], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as typeof given;
}
