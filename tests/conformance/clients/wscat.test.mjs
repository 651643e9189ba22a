import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { after, before } from 'node:test';

import { scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { assertIsNow } from '../lib/socketio-behaviour.mjs';
import { Inbox, within } from '../lib/wait.mjs';

let server;

before(async () => {
  server = await startServer({ ping_interval_ms: 300, ping_timeout_ms: 60_000 });
});
after(() => server?.stop());

scenario('the manual test with wscat goes as the document says', async (t) => {
  const wscat = startWscat(t, `${server.wsUrl}/ws`);
  // wscat ignores what it reads before it is connected, and says nothing then on a pipe. A ping that it
  // received is the first sign that it listens.
  await wscat.output.takeThrough(({ text }) => text.startsWith('Received ping'), 'wscat to show a ping');

  wscat.type('{"event":"authenticate","data":{"user_id":"user_123","organization_id":"org_123"}}');
  const authenticated = await wscat.frame();
  assert.equal(authenticated.event, 'authenticated');
  assert.equal(authenticated.data.success, true);
  assert.equal(authenticated.data.user_id, 'user_123');
  assert.equal(authenticated.data.organization_id, 'org_123');

  wscat.type('{"event":"subscribe","data":{"channels":["kpi"],"organization_id":"org_123"}}');
  const subscribed = await wscat.frame();
  assert.equal(subscribed.event, 'client:subscribe');
  assert.deepEqual(subscribed.data, { success: true, subscriptions: ['kpi:org:org_123'] });

  wscat.type('{"event":"client:ping"}');
  const pong = await wscat.frame();
  assert.equal(pong.event, 'client:pong');
  assertIsNow(pong.timestamp);
  assertIsNow(pong.data.server_time);

  const payload = {
    organization_id: 'org_123',
    timestamp: '2024-01-15T10:30:00Z',
    utilization: { current_utilization: 82.5 },
    health_score: 85,
  };
  assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
  const update = await wscat.frame();
  assert.equal(update.event, 'kpi:update');
  assert.deepEqual(update.data, payload);

  assert.equal(await wscat.end(), 0);
});

function startWscat(t, url) {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('wscat/package.json');
  const program = path.join(path.dirname(manifest), require(manifest).bin.wscat);
  const child = spawn(process.execPath, [program, '--no-color', '--show-ping-pong', '--connect', url], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const exited = new Promise((resolve) => {
    child.on('exit', (code, signal) => resolve(signal ?? code));
  });
  const output = new Inbox();
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    // A prompt for every line that was typed, in front of what comes next.
    const text = line.replace(/^(> )+/, '');
    output.push({ event: 'line', payload: text, text });
  });
  return {
    output,
    type: (line) => child.stdin.write(`${line}\n`),
    /** The next message that wscat shows. */
    async frame() {
      const taken = await output.takeThrough(({ text }) => text.startsWith('{'), 'wscat to show a message');
      return JSON.parse(taken.at(-1).text);
    },
    end() {
      child.stdin.end();
      return within(exited, 'wscat to end');
    },
  };
}
