import { test } from 'node:test';

/** Whether the tests run against Socket.IO's own server, to see that they ask for what it does. */
export const REFERENCE = process.env.CONFORMANCE_TARGET === 'node';

/**
 * A test with a limit of its own: the runner's `--test-timeout` is one for the whole file.
 *
 * `node` says why Socket.IO's own server is not asked: what it does instead, or that it has nothing of the kind.
 */
export function scenario(name, run, { node, timeout = 45_000 } = {}) {
  test(name, { timeout, skip: REFERENCE && node ? `Node: ${node}` : false }, run);
}

/** What is particular to orgcast's commands, limits and HTTP interface. */
export const ORGCAST_ONLY = { node: 'has nothing of the kind' };

let organizations = 0;

/** An organization that no other test of this process uses. */
export function freshOrganization() {
  organizations += 1;
  return `org_${process.pid}_${organizations}`;
}
