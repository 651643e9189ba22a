import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import http from 'node:http';
import { promisify } from 'node:util';

import { afterAll } from 'vitest';

const READY = /listening on http:\/\/127\.0\.0\.1:(\d+)/;
// Nothing here is about speed: a busy machine may take its time.
const PATIENCE_MS = 60_000;

const running = new Set<ChildProcess>();

// A test that failed half-way leaves nothing behind; a worker that is ended does not come to its `exit`.
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
});

export interface Receipt {
  success: boolean;
  message_id: string;
  recipients: number;
}

export interface ConnectionInfo {
  socket_id: string;
  user_id: string;
  organization_id: string;
  protocol: string;
  transport: string;
  subscriptions: string[];
}

function binary(): string {
  const file = process.env.ORGCAST_BIN;
  if (!file) {
    throw new Error('ORGCAST_BIN is not set: run `make test`, which builds the server and names it to this suite');
  }
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new Error(`ORGCAST_BIN names ${file}, which is not an executable: run \`make test\`, which builds it`);
  }
  return file;
}

/** Ours without what would configure the server. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ORGCAST_')));
}

/** What the program prints for a command that ends. */
export async function output(...command: string[]): Promise<string> {
  return (await outputs(...command)).stdout;
}

/** What a command of the server's binary prints, and what it says beside that. */
export async function outputs(...command: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(binary(), command, { env: environment() });
}

/** A server of its own on a free port. */
export class TestServer {
  #child: ChildProcess | undefined;
  #flags: string[];
  #log = '';
  port = 0;

  private constructor(flags: string[]) {
    this.#flags = flags;
  }

  static async start(...flags: string[]): Promise<TestServer> {
    const server = new TestServer(['--cors-origins', '*', ...flags]);
    await server.start();
    return server;
  }

  /** With no flag but these and the port: what somebody gets who just starts it. */
  static async startAsShipped(...flags: string[]): Promise<TestServer> {
    const server = new TestServer(flags);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const child = spawn(binary(), ['serve', '--port', String(this.port), ...this.#flags], { env: environment() });
    this.#child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.port = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`orgcast did not listen in time\n${this.#log}`)), PATIENCE_MS);
      let stdout = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
        this.#log += chunk;
        const found = stdout.match(READY);
        if (found) {
          clearTimeout(timer);
          resolve(Number(found[1]));
        }
      });
      child.stderr.on('data', (chunk) => {
        this.#log += chunk;
      });
      child.on('exit', (code) => {
        clearTimeout(timer);
        reject(new Error(`orgcast ended (${code}) before it listened\n${this.#log}`));
      });
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** A new process on the same port. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  post(route: string, body: object): Promise<Receipt> {
    return this.#request('POST', route, JSON.stringify(body)) as Promise<Receipt>;
  }

  /** Posts to `/api/ws/broadcast` and what is beneath it. */
  async broadcast(route: string, body: object): Promise<Receipt> {
    const receipt = await this.post(`/api/ws/broadcast${route}`, body);
    if (!receipt.success) throw new Error(`the broadcast was refused: ${JSON.stringify(receipt)}`);
    return receipt;
  }

  /** An event of the catalogue for an organization. */
  event(event: string, organization_id: string, data: unknown, more: object = {}): Promise<Receipt> {
    return this.broadcast('', { event, data, target: { organization_id }, ...more });
  }

  async connections(organization: string): Promise<ConnectionInfo[]> {
    const route = `/api/ws/connections?organization_id=${encodeURIComponent(organization)}`;
    return ((await this.#request('GET', route)) as { connections: ConnectionInfo[] }).connections;
  }

  get(route: string): Promise<unknown> {
    return this.#request('GET', route);
  }

  // Not `fetch`: the DOM's would ask for CORS, and a kept-alive connection would not survive a restart.
  #request(method: string, route: string, body?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const request = http.request(this.url + route, { method, headers, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          try {
            resolve(JSON.parse(text));
          } catch {
            reject(new Error(`${method} ${route} answered ${response.statusCode} without JSON: ${text}`));
          }
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** Resolves once `check` gives something true. */
export async function until<T>(
  check: () => T | Promise<T>,
  what: string,
  patience = PATIENCE_MS,
): Promise<NonNullable<T>> {
  const end = Date.now() + patience;
  for (;;) {
    const found = await check();
    if (found) return found as NonNullable<T>;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

let organizations = 0;

/** An organization that no other test uses. */
export function newOrganization(): string {
  organizations += 1;
  return `org_${process.pid}_${organizations}`;
}
