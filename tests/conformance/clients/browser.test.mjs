import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startBrowser } from '../lib/browser.mjs';
import { servePages } from '../lib/pages.mjs';
import { scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { PATIENCE_MS } from '../lib/wait.mjs';

const LEGACY_PAGE = `<!doctype html>
<meta charset="utf-8" />
<title>A page of 2.x</title>
<link rel="icon" href="data:," />
<p id="status" data-state="connecting"></p>
<p id="transport"></p>
<p id="payload"></p>
<script src="/socket.io-2.js"></script>
<script>
  // In a function, because a global named status is the window's own.
  (function () {
    var query = new URLSearchParams(location.search);
    var options = { path: '/ws' };
    if (query.has('transports')) options.transports = query.get('transports').split(',');
    var status = document.getElementById('status');
    var socket = io(query.get('server'), options);
    socket.on('connect', function () {
      document.getElementById('transport').textContent = socket.io.engine.transport.name;
      socket.io.engine.on('upgrade', function (transport) {
        document.getElementById('transport').textContent = transport.name;
      });
      socket.emit('authenticate', { user_id: 'user_2', organization_id: query.get('organization_id') }, function () {
        var filter = { channels: ['kpi'], queue_name: query.get('queue_name') };
        socket.emit('subscribe', filter, function (reply) {
          status.dataset.state = reply.success ? 'live' : 'refused';
        });
      });
    });
    socket.on('connect_error', function (error) {
      status.dataset.state = 'refused';
      status.textContent = error.message || error;
    });
    socket.on('kpi:update', function (payload) {
      document.getElementById('payload').textContent = JSON.stringify(payload);
    });
  })();
</script>`;

const PAGES = {
  '/kpi.html': new URL('../../../web-client/client/examples/kpi.html', import.meta.url),
  '/socket.io.min.js': new URL('../node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url),
  '/legacy.html': LEGACY_PAGE,
  '/socket.io-2.js': new URL('../node_modules/socket.io-client-2/dist/socket.io.js', import.meta.url),
};

const ARTIFACTS = new URL('../artifacts/', import.meta.url);

let allowed;
let stranger;
let server;
let browser;

before(async () => {
  allowed = await servePages(PAGES);
  stranger = await servePages(PAGES);
  server = await startServer({ cors_origins: allowed.origin });
  browser = await startBrowser();
  await mkdir(ARTIFACTS, { recursive: true });
});
after(async () => {
  await browser?.close();
  allowed?.close();
  stranger?.close();
  await server?.stop();
});

/** A page, and what it has to complain about so far. */
async function open(t, origin, path, parameters) {
  const context = await browser.newContext({ viewport: { width: 960, height: 720 } });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(`${origin}${path}?${new URLSearchParams({ server: server.url, ...parameters })}`);
  return { page, complaints };
}

async function reaches(page, state) {
  await page.locator(`#status[data-state="${state}"]`).waitFor({ state: 'attached' });
}

async function shows(page, id, text) {
  await page.waitForFunction(([key, value]) => document.getElementById(key).textContent === value, [id, text]);
}

scenario('the example page of another, allowed origin shows the KPIs that were posted', async (t) => {
  const organization_id = 'org_page';
  const { page, complaints } = await open(t, allowed.origin, '/kpi.html', { organization_id, queue_name: 'support' });
  await reaches(page, 'live');
  await shows(page, 'transport', 'websocket');

  const kpi = {
    organization_id,
    queue_name: 'support',
    timestamp: '2024-01-15T10:30:00Z',
    utilization: { current_utilization: 82.5 },
    headcount_gap: -3,
    sla_risk: { level: 'médium <b>' },
    health_score: 85,
  };
  assert.equal((await server.broadcast('/kpi', kpi)).recipients, 1);
  await shows(page, 'count', '1');
  const shown = {};
  for (const id of ['health-score', 'utilization', 'headcount-gap', 'sla-risk']) {
    shown[id] = await page.locator(`#${id}`).textContent();
  }
  assert.deepEqual(shown, {
    'health-score': '85',
    utilization: '82.5%',
    'headcount-gap': '-3',
    'sla-risk': 'médium <b>',
  });
  assert.deepEqual(JSON.parse(await page.locator('#payload').textContent()), kpi);

  await page.screenshot({ path: fileURLToPath(new URL('kpi.png', ARTIFACTS)) });
  assert.deepEqual(complaints, []);
});

for (const [path, version] of [
  ['/kpi.html', '4.x'],
  ['/legacy.html', '2.x'],
]) {
  for (const [transports, settled] of [
    [undefined, 'websocket'],
    ['websocket', 'websocket'],
    ['polling', 'polling'],
  ]) {
    const over = transports ?? 'the default transports';

    scenario(`a ${version} page of an allowed origin receives broadcasts over ${over}`, async (t) => {
      const organization_id = `org_${version}_${transports ?? 'default'}`;
      const { page, complaints } = await open(t, allowed.origin, path, {
        organization_id,
        queue_name: 'support',
        ...(transports && { transports }),
      });
      await reaches(page, 'live');
      await shows(page, 'transport', settled);
      const payload = { organization_id, queue_name: 'support', health_score: 85, text: 'Zürich 🔔' };
      assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
      await page.waitForFunction(() => document.getElementById('payload').textContent.startsWith('{'));
      assert.deepEqual(JSON.parse(await page.locator('#payload').textContent()), payload);
      assert.deepEqual(complaints, []);
    });

    scenario(`a ${version} page of an origin that is not allowed is refused over ${over}`, async (t) => {
      const organization_id = `org_stranger_${version}_${transports ?? 'default'}`;
      const { page } = await open(t, stranger.origin, path, { organization_id, ...(transports && { transports }) });
      await reaches(page, 'refused');
      const { body } = await server.get(`/api/ws/connections?organization_id=${organization_id}`);
      assert.deepEqual(body.connections, []);
      assert.match(await page.locator('#status').textContent(), /error/);
      assert.equal(await page.locator('#transport').textContent(), path === '/kpi.html' ? 'none' : '');
      if (path === '/kpi.html' && transports === undefined) {
        await page.screenshot({ path: fileURLToPath(new URL('kpi-refused.png', ARTIFACTS)) });
      }
    });
  }
}
