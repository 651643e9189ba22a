import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { Inbox } from './wait.mjs';

const run = promisify(execFile);
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const VENV = here('../.venv');
const REQUIREMENTS = here('../requirements.txt');

let installed;

/** A virtual environment with what requirements.txt names, made once and again when that changes. */
async function install() {
  const wanted = await readFile(REQUIREMENTS, 'utf8');
  const mark = path.join(VENV, 'installed');
  if (existsSync(mark) && (await readFile(mark, 'utf8')) === wanted) return;
  await rm(VENV, { recursive: true, force: true });
  try {
    await run('python3', ['-m', 'venv', VENV]);
    await run(path.join(VENV, 'bin/pip'), ['install', '--quiet', '--requirement', REQUIREMENTS]);
  } catch (error) {
    throw new Error(`python-socketio could not be installed: apt-get install python3-venv; ${error.stderr ?? error}`);
  }
  await mkdir(VENV, { recursive: true });
  await writeFile(mark, wanted);
}

/** python-socketio as a stock client: see client.py. It is ended after the test `t`. */
export async function startPython(t, server, { transports, organization_id }) {
  installed ??= install();
  await installed;
  const args = [here('client.py'), server.url, transports, organization_id];
  const child = spawn(path.join(VENV, 'bin/python'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  t.after(() => {
    process.off('exit', kill);
    kill();
  });
  const inbox = new Inbox();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { event, data } = JSON.parse(line);
    inbox.push({ event, payload: data });
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => (complaints += chunk));
  return {
    /** What the client says next about `event`. */
    async line(event, ms) {
      try {
        return (await inbox.take(event, ms)).payload;
      } catch (error) {
        throw new Error(`${error.message}; python said: ${complaints.slice(-2000)}`);
      }
    },
  };
}
