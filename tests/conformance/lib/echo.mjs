import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { within } from './wait.mjs';
import { REFERENCE } from './scenario.mjs';

const NODE_ECHO = fileURLToPath(new URL('node-echo.mjs', import.meta.url));

/** What the echo application was configured with. */
export const TIMING = {
  pingInterval: Number(process.env.ECHO_PING_INTERVAL_MS ?? 300),
  pingTimeout: Number(process.env.ECHO_PING_TIMEOUT_MS ?? 200),
  /** By how much a timer of the server may be late. */
  slack: Number(process.env.ECHO_SLACK_MS ?? 100),
};
export const MAX_PAYLOAD = Number(process.env.ECHO_MAX_PAYLOAD ?? 1_000_000);

/**
 * The echo applications, `{engine, socket, stop}` with the base URL of each.
 *
 * They are those at ENGINE_ECHO_URL and SOCKET_ECHO_URL, or else a process of their own: ORGCAST_ECHO_BIN, or
 * the reference with the arguments `node`.
 */
export async function startEcho({ node = [] } = {}) {
  const { ENGINE_ECHO_URL: engine, SOCKET_ECHO_URL: socket } = process.env;
  if (engine || socket) return { engine, socket, stop() {} };

  const file = REFERENCE ? NODE_ECHO : process.env.ORGCAST_ECHO_BIN;
  if (!file) {
    throw new Error('ORGCAST_ECHO_BIN is not set: run `make test-conformance`, which builds the echo application');
  }
  const child = spawn(file, REFERENCE ? node : [], { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const listening = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => reject(new Error(`${file} ended (${signal ?? code})`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = line.match(/listening on (http:\/\/127\.0\.0\.1:\d+)/);
      if (match) resolve(match[1]);
    });
  });
  listening.catch(() => {});
  const url = await within(listening, `${file} to listen`);
  return {
    engine: url,
    socket: url,
    stop() {
      process.off('exit', kill);
      kill();
    },
  };
}
