import { fileURLToPath } from 'node:url';

import { startServer as start } from './orgcast.mjs';
import { REFERENCE } from './scenario.mjs';

// The reference takes orgcast's command line.
if (REFERENCE) process.env.ORGCAST_BIN = fileURLToPath(new URL('node-server.mjs', import.meta.url));

/**
 * orgcast, or Socket.IO's own server in its place, on a free port. `config` names configuration keys.
 *
 * Sessions that a test leaves behind without a poll can't be told of the end, so that it is not waited for.
 */
export async function startServer(config = {}) {
  return start({ shutdown_timeout_ms: 1000, ...config });
}

/** Starts a server that is stopped after the test `t`. */
export async function serverFor(t, config) {
  const server = await startServer(config);
  t.after(() => server.stop());
  return server;
}

/** The server's own account of itself. */
export async function stats(server) {
  return (await server.get('/api/ws/stats')).body.stats;
}
