import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { PATIENCE_MS, until, within } from './wait.mjs';

const READY = /listening on (http:\/\/127\.0\.0\.1:(\d+))/;
const STOP_MS = 20_000;
const LOG_BYTES_KEPT = 8_192;

/** Starts a server of its own on a free port. `config` names configuration keys as the server's documents do. */
export async function startServer(config = {}) {
  const server = new Server(binary(), config);
  await server.start(0);
  return server;
}

function binary() {
  const file = process.env.ORGCAST_BIN;
  if (!file) {
    throw new Error('ORGCAST_BIN is not set: run `make test`, which builds the server and names it to this suite');
  }
  if (!path.isAbsolute(file)) throw new Error(`ORGCAST_BIN must be an absolute path, not ${file}`);
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new Error(`ORGCAST_BIN names ${file}, which is not an executable: run \`make test\`, which builds it`);
  }
  return file;
}

/** Ours without what configures a server: a test's configuration is all in its flags. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ORGCAST_')));
}

class Server {
  #file;
  #flags;
  #child;
  #exit;
  #log = '';
  #killWithUs = () => this.#child?.kill('SIGKILL');

  constructor(file, config) {
    this.#file = file;
    this.#flags = Object.entries(config).flatMap(([key, value]) => [`--${key.replaceAll('_', '-')}`, String(value)]);
  }

  get wsUrl() {
    return this.url.replace('http:', 'ws:');
  }

  /** Resolves once the server says that it listens. */
  async start(port) {
    const args = ['serve', '--port', String(port), ...this.#flags];
    const child = spawn(this.#file, args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    process.on('exit', this.#killWithUs);
    process.on('SIGTERM', exitNow);

    this.#log = '';
    this.#exit = new Promise((resolve) => {
      child.on('error', (error) => resolve(`could not be started: ${error.message}`));
      child.on('exit', (code, signal) => resolve(signal ?? code));
    });
    const ready = new Promise((resolve) => {
      let stdout = '';
      child.stdout.on('data', (chunk) => {
        this.#keep(chunk);
        if (stdout !== undefined) stdout += chunk;
        const match = stdout?.match(READY);
        if (match) {
          stdout = undefined;
          resolve(match);
        }
      });
    });
    child.stderr.on('data', (chunk) => this.#keep(chunk));

    const gone = this.#exit.then((how) => {
      throw new Error(`orgcast ended (${how}) before it listened: ${args.join(' ')}\n${this.#log}`);
    });
    gone.catch(() => {});
    const match = await within(Promise.race([ready, gone]), () => `orgcast to listen\n${this.#log}`);
    this.url = match[1];
    this.port = Number(match[2]);
  }

  /** Ends the server as an operator does, and checks that it ended well. */
  async stop() {
    const child = this.#child;
    if (!child) return;
    this.#child = undefined;
    process.off('exit', this.#killWithUs);
    process.off('SIGTERM', exitNow);

    const alive = child.exitCode === null && child.signalCode === null;
    assert.ok(alive, `orgcast ended by itself (${child.signalCode ?? child.exitCode})\n${this.#log}`);
    child.kill('SIGTERM');
    try {
      const how = await within(this.#exit, () => `orgcast to end after SIGTERM\n${this.#log}`, STOP_MS);
      assert.equal(how, 0, `orgcast's exit code after SIGTERM\n${this.#log}`);
    } finally {
      child.kill('SIGKILL');
    }
  }

  /** A new process on the same port. */
  async restart() {
    await this.stop();
    await this.start(this.port);
  }

  get(route) {
    return this.#request('GET', route);
  }

  post(route, body) {
    return this.#request('POST', route, typeof body === 'string' ? body : JSON.stringify(body));
  }

  /** Posts to `/api/ws/broadcast` and what is beneath it, and returns the receipt. */
  async broadcast(route, body) {
    const response = await this.post(`/api/ws/broadcast${route}`, body);
    assert.equal(response.status, 200, `the broadcast was refused: ${JSON.stringify(response.body)}`);
    assert.equal(response.body.success, true);
    return response.body;
  }

  /** Resolves once `organization` has `count` authenticated connections, by the server's own account. */
  async counts(organization, count) {
    const route = `/api/ws/connections?organization_id=${encodeURIComponent(organization)}`;
    await until(
      async () => (await this.get(route)).body.connections.length === count,
      `the server to count ${count} connections of ${organization}`,
    );
  }

  // Without an agent: a kept-alive connection to a server that was restarted would fail the request after it.
  #request(method, route, body) {
    const answered = new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const request = http.request(this.url + route, { method, headers, agent: false }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          try {
            resolve({ status: response.statusCode, headers: response.headers, body: JSON.parse(text) });
          } catch {
            reject(new Error(`${method} ${route} answered ${response.statusCode} without JSON: ${text}`));
          }
        });
      });
      request.on('error', reject);
      request.end(body);
    });
    return within(answered, `${method} ${route}`, 2 * PATIENCE_MS);
  }

  #keep(chunk) {
    this.#log = (this.#log + chunk).slice(-LOG_BYTES_KEPT);
    if (process.env.ORGCAST_TEST_LOG) process.stderr.write(chunk);
  }
}

// The runner ends a file that takes too long with SIGTERM, which alone would leave the server running.
function exitNow() {
  process.exit(1);
}
