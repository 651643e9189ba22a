import { PATIENCE_MS, until as untilThen } from '../../clients/lib/wait.mjs';

export { Inbox, once, within } from '../../clients/lib/wait.mjs';

/** As that of the clients' tests; `what` may be a function, asked when it is too late. */
export async function until(condition, what, ms = PATIENCE_MS) {
  return untilThen(condition, { toString: typeof what === 'function' ? what : () => what }, ms);
}
