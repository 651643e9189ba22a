import { test } from 'node:test';

/** A test with a limit of its own: the runner's `--test-timeout` is one for the whole file. */
export function scenario(name, run) {
  test(name, { timeout: 45_000 }, run);
}

let organizations = 0;

/** An organization that no other test of this process uses, so that a connection that is just going away counts nowhere. */
export function freshOrganization() {
  organizations += 1;
  return `org_${process.pid}_${organizations}`;
}
