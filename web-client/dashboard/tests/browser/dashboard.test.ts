import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { ARTIFACTS, openPage, seriousProblems, startBrowser } from '../../../testkit/browser.js';
import { newOrganization, output, outputs, TestServer, until } from '../../../testkit/server.js';

const SCRIPT = 'assets/dashboard.js';
const BUILT = fileURLToPath(new URL(`../../dist/${SCRIPT}`, import.meta.url));

let server: TestServer;
let browser: Browser;

beforeAll(async () => {
  server = await TestServer.startAsShipped();
  const served = await fetch(`${server.url}/${SCRIPT}`);
  if ((await served.text()) !== (await readFile(BUILT, 'utf8'))) {
    throw new Error('the server carries another page than dashboard/dist, or none: make build');
  }
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

interface Visit {
  at?: TestServer;
  query?: Record<string, string>;
  context?: BrowserContextOptions;
  before?: (page: Page) => Promise<void>;
}

async function visit({ at = server, query = {}, context, before }: Visit = {}) {
  const organization_id = newOrganization();
  const opened = await openPage(browser, context);
  await before?.(opened.page);
  await opened.page.goto(`${at.url}/?${new URLSearchParams({ organization_id, ...query })}`);
  const connection = opened.page.getByTestId('connection');
  return {
    ...opened,
    organization_id,
    connection,
    status: (status: string) => opened.page.locator(`[data-testid=connection][data-status=${status}]`).waitFor(),
    shows: (id: string, text: string) => opened.page.getByTestId(id).getByText(text, { exact: true }).waitFor(),
    read: (id: string) => opened.page.getByTestId(id).textContent(),
  };
}

/** Until the charts have something to show. */
function drawn(page: Page): Promise<unknown> {
  const counts = () => page.locator('.plot').evaluateAll((plots) => plots.map((it) => Number(it.dataset.points)));
  return until(async () => {
    const points = await counts();
    return points.length === 2 && points.every((count) => count > 5);
  }, 'the charts');
}

const KPI = {
  utilization: { current_utilization: 82.5, target_utilization: 80 },
  headcount_gap: -3,
  sla_risk: { level: 'médium <b>' },
  health_score: 85,
};

it('shows what was posted', async () => {
  const { page, complaints, organization_id, status, shows, read } = await visit({ query: { queue_name: 'support' } });
  await status('live');
  const at = { organization_id, queue_name: 'support' };
  expect((await server.broadcast('/kpi', { ...at, ...KPI })).recipients).toBe(1);
  await server.broadcast('/backlog', { ...at, total_items: 1234, oldest_item_minutes: 17 });
  await server.broadcast('/attendance', { ...at, scheduled: 20, present: 17, late: 1, absent: 2, on_break: 0 });
  // Before it comes, for it does not stay.
  const toast = page.locator('.toast').getByText('Look <b>now</b>').waitFor();
  await server.broadcast('/alert', {
    ...at,
    rule_name: 'SLA at risk',
    severity: 'critical',
    message: 'Look <b>now</b>',
  });
  await shows('present', '17');
  await toast;
  expect(await read('health')).toBe('85');
  expect(await read('utilization')).toBe('82.5');
  expect(await read('gap')).toBe('-3');
  expect(await read('risk')).toBe('Médium <b>');
  expect(await read('backlog')).toBe('1,234');
  expect(await page.locator('.alerts li').count()).toBe(1);
  expect(await page.locator('.alerts').textContent()).toContain('SLA at risk');
  await shows('transport', 'websocket');
  await page
    .getByTestId('latency')
    .getByText(/^\d+ ms$/)
    .waitFor();

  await server.broadcast('/kpi', { ...at, ...KPI, health_score: 41 });
  await shows('health', '41');
  expect(await server.connections(organization_id)).toHaveLength(1);
  expect(complaints).toEqual([]);
});

it('adds up what the places beneath publish, and shows them in the tree', async () => {
  const { page, organization_id, status, shows, read } = await visit();
  await status('live');
  for (const [department_id, queue_name, health_score, total_items] of [
    ['service', 'support', 80, 10],
    ['service', 'billing', 60, 20],
    ['sales', 'inbound', 100, 30],
  ] as const) {
    const at = { organization_id, department_id, queue_name };
    await server.broadcast('/kpi', { ...at, ...KPI, health_score });
    await server.broadcast('/backlog', { ...at, total_items });
  }
  await shows('backlog', '60');
  expect(await read('health')).toBe('80');
  await page.getByRole('treeitem', { name: 'service' }).click();
  await server.broadcast('/kpi', { organization_id, department_id: 'sales', queue_name: 'inbound', health_score: 1 });
  await server.broadcast('/kpi', {
    organization_id,
    department_id: 'service',
    queue_name: 'billing',
    health_score: 62,
  });
  await shows('health', '62');
  expect(new URL(page.url()).searchParams.get('department_id')).toBe('service');
});

it('shows what does not repeat where it was sent, and ids under their other names', async () => {
  const { organization_id, status, shows } = await visit({ query: { department_id: 'service' } });
  await status('live');
  const target = { organization_id, department_id: 'service' };
  await server.broadcast('', { event: 'kpi:update', data: { health_score: 64 }, target });
  await shows('health', '64');
  await server.broadcast('/backlog', { companyId: organization_id, departmentId: 'service', total_items: 7 });
  await shows('backlog', '7');
});

it('is used by keyboard: tree, form, switch', async () => {
  const { page, organization_id, status } = await visit({ query: { department_id: 'service', queue_name: 'support' } });
  await status('live');
  const chosen = page.getByRole('treeitem', { name: 'support', exact: true });
  await chosen.focus();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: `${organization_id} › service` }).waitFor();
  await page.keyboard.press('ArrowLeft');
  expect(await page.getByRole('treeitem', { name: 'service' }).getAttribute('aria-expanded')).toBe('false');
  await page.getByRole('textbox', { name: 'Queue' }).focus();
  await page.keyboard.type('billing');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: `${organization_id} › service › billing` }).waitFor();
  await until(
    async () =>
      (await server.connections(organization_id))[0]?.subscriptions.includes(
        `kpi:org:${organization_id}:dept:service:queue:billing`,
      ),
    'the subscription to follow',
  );
  await page.getByRole('switch', { name: 'Demo feed' }).focus();
  await page.keyboard.press('Space');
  await page.getByRole('treeitem', { name: 'outbound' }).waitFor();
});

it('moves to another organization and leaves the first', async () => {
  const { page, complaints, organization_id, status, shows } = await visit();
  await status('live');
  const other = newOrganization();
  await page.getByRole('textbox', { name: 'Organization' }).fill(other);
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await until(async () => (await server.connections(other))[0]?.subscriptions.length === 5, 'the new subscriptions');
  expect(await server.connections(other)).toHaveLength(1);
  expect(await server.connections(organization_id)).toEqual([]);
  await status('live');
  await server.broadcast('/kpi', { organization_id, ...KPI, health_score: 1 });
  await server.broadcast('/kpi', { organization_id: other, ...KPI, health_score: 99 });
  await shows('health', '99');
  expect(complaints).toEqual([]);
});

it('survives a restart of the server without a reload', async () => {
  const own = await TestServer.startAsShipped();
  const { page, complaints, organization_id, status, shows } = await visit({ at: own, query: { queue_name: 'q' } });
  await status('live');
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));
  await own.broadcast('/kpi', { organization_id, queue_name: 'q', ...KPI });
  await shows('health', '85');
  const wanted = (await own.connections(organization_id))[0]?.subscriptions;
  expect(wanted).toHaveLength(5);
  await own.stop();
  await status('reconnecting');
  await page.screenshot({ path: join(ARTIFACTS, 'reconnecting.png') });
  await own.start();
  await status('live');
  expect((await own.connections(organization_id))[0]?.subscriptions).toEqual(wanted);
  await own.broadcast('/kpi', { organization_id, queue_name: 'q', ...KPI, health_score: 52 });
  await shows('health', '52');
  expect(await page.evaluate(() => 'sameDocument' in window)).toBe(true);
  // The browser itself writes down every request that finds nobody.
  expect(complaints.filter((text) => !/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY/.test(text))).toEqual([]);
  await own.stop();
});

it('finds a server whose clients connect at another path', async () => {
  const own = await TestServer.startAsShipped('--path', '/socket.io');
  const { status } = await visit({ at: own, query: { path: '/socket.io' } });
  await status('live');
  await own.stop();
});

it('falls back to polling where WebSocket does not get through', async () => {
  const { complaints, organization_id, status, shows, read } = await visit({
    before: (page) => page.routeWebSocket(/.*/, (socket) => socket.close()),
  });
  await status('live');
  expect(await read('transport')).toBe('polling');
  await server.broadcast('/kpi', { organization_id, ...KPI });
  await shows('health', '85');
  expect((await server.connections(organization_id))[0]?.transport).toBe('polling');
  expect(complaints).toEqual([]);
});

it('has a demo feed over the real API that fills the whole board', async () => {
  const { page, complaints, organization_id, status } = await visit();
  await status('live');
  await page.screenshot({ path: join(ARTIFACTS, 'empty.png') });
  await page.getByRole('button', { name: 'Start the demo feed' }).click();
  await page.getByRole('row', { name: /support/ }).waitFor();
  await page.getByTestId('present').waitFor();
  await page.locator('.toast').first().waitFor();
  const { stats } = (await server.get('/api/ws/stats')) as { stats: { messages_by_event: Record<string, number> } };
  expect(stats.messages_by_event['kpi:update']).toBeGreaterThan(4);
  await drawn(page);
  await page.screenshot({ path: join(ARTIFACTS, 'desktop.png'), fullPage: true });
  expect(await seriousProblems(page)).toEqual([]);
  await page.getByText('Demo feed', { exact: true }).click();
  expect((await server.connections(organization_id)).length).toBe(1);
  expect(complaints).toEqual([]);
});

it('asks for a token and an API key where the server wants them, and keeps neither', async () => {
  const secret = 'a secret of at least thirty-two bytes';
  const organization = newOrganization();
  const made = await outputs('gen-key', '--name', 'demo', '--organization', organization);
  const [key = ''] = made.stderr.match(/ock_[\w-]+/) ?? [];
  const [hash = ''] = made.stdout.match(/sha256:\w+/) ?? [];
  const keys = `{ demo = { hash = "${hash}", organization = "${organization}", scopes = ["broadcast", "read"] } }`;
  const own = await TestServer.startAsShipped('--auth.jwt-secret', secret, '--api-keys', keys);
  const token = (
    await output('gen-token', '--user', 'u', '--organization', organization, '--auth.jwt-secret', secret)
  ).trim();
  const { page, complaints, status, shows } = await visit({ at: own, query: { organization_id: organization } });
  const signIn = page.getByRole('form', { name: 'The server wants to know who you are' });
  await signIn.getByText(/token/i).first().waitFor();
  await signIn.getByLabel('Token').fill(token);
  expect(await seriousProblems(page)).toEqual([]);
  await page.screenshot({ path: join(ARTIFACTS, 'sign-in.png') });
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await status('live');

  await page.getByText(`-H 'X-API-Key: ock_…'`).waitFor();
  await page.getByText('Demo feed', { exact: true }).click();
  const wanted = page.getByRole('form', { name: 'The demo feed needs an API key' });
  await wanted.getByText(/API key is needed/).waitFor();
  expect(await page.getByRole('switch', { name: 'Demo feed' }).isChecked()).toBe(false);
  expect(await seriousProblems(page)).toEqual([]);
  await page.screenshot({ path: join(ARTIFACTS, 'api-key.png') });
  await wanted.getByLabel('API key').fill('ock_wrong');
  await wanted.getByRole('button', { name: 'Start the demo feed' }).click();
  await wanted.getByText(/not known/).waitFor();
  await wanted.getByLabel('API key').fill(key);
  await wanted.getByRole('button', { name: 'Start the demo feed' }).click();
  await page.getByRole('row', { name: /support/ }).waitFor();
  await wanted.waitFor({ state: 'detached' });
  await shows('transport', 'websocket');
  const kept = await page.evaluate(() =>
    JSON.stringify([localStorage, sessionStorage, document.cookie, location.href]),
  );
  expect(kept).not.toContain(token);
  expect(kept).not.toContain(key);
  // The browser itself writes down every refusal.
  expect(complaints.filter((text) => !/status of 401/.test(text))).toEqual([]);
  await own.stop();
});

it('goes on with the queues after a single event of the organization', async () => {
  const { page, organization_id, status, shows } = await visit({ before: (page) => page.clock.install() });
  await status('live');
  await server.broadcast('/kpi', { organization_id, ...KPI });
  await server.broadcast('/attendance', { organization_id, present: 5 });
  await shows('health', '85');
  expect(await page.getByTestId('present').locator('..').textContent()).toBe('5 present');
  await page.clock.fastForward(16_000);
  const at = { organization_id, department_id: 'service', queue_name: 'support' };
  await server.broadcast('/kpi', { ...at, ...KPI, health_score: 40 });
  await shows('health', '40');
  await page.getByText('From one place beneath').waitFor();
});

it('shows what is said to people: alerts with nothing but a message, notifications, maintenance', async () => {
  const { page, organization_id, status } = await visit({ query: { queue_name: 'support' } });
  await status('live');
  const at = { organization_id, queue_name: 'support' };
  const listed = (text: string) => page.locator('.alerts').getByText(text, { exact: true }).waitFor();
  await server.broadcast('/alert', { ...at, message: 'Only a message' });
  await listed('Only a message');
  await server.event('notification', organization_id, { title: 'Lunch', body: 'is ready' });
  await listed('is ready');
  await server.broadcast('', { title: 'To everyone', body: 'is said this' });
  await listed('To everyone');
  await server.event('system:maintenance', organization_id, { message: 'Back at noon' });
  await listed('Back at noon');
  // It says nothing to people, and not here.
  await server.event('notification', organization_id, { widgetId: 'w', data: {}, timestamp: 1 });
  await server.event('notification', organization_id, { title: 'Elsewhere', queue_name: 'billing' });
  await server.event('notification', organization_id, { title: 'The last' });
  await listed('The last');
  expect(await page.locator('.alerts li').count()).toBe(5);
  await page.locator('.toast').getByText('The last').waitFor();
  await page.getByRole('button', { name: 'Dismiss The last' }).click();
  await page.locator('.toast').waitFor({ state: 'detached' });
});

it('says whose a token is that does not reach the place in view', async () => {
  const secret = 'a secret of at least thirty-two bytes';
  const [mine, other] = [newOrganization(), newOrganization()];
  const own = await TestServer.startAsShipped('--auth.jwt-secret', secret);
  const token = (...grants: string[]) =>
    output('gen-token', '--user', 'u', '--organization', mine, '--auth.jwt-secret', secret, ...grants);
  const { page, status } = await visit({ at: own, query: { organization_id: other } });
  const signIn = page.getByRole('form', { name: 'The server wants to know who you are' });
  await signIn.getByLabel('Token').fill('hello');
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await signIn.getByText('three parts with dots').waitFor();
  expect(await signIn.textContent()).not.toContain('`');
  await signIn.getByLabel('Token').fill(await token());
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await status('refused');
  await page.getByText(`You are signed in for the organization ${mine}`).waitFor();
  expect(await page.getByText('Nothing has been published').count()).toBe(0);
  expect(await seriousProblems(page)).toEqual([]);
  await page.screenshot({ path: join(ARTIFACTS, 'refused.png') });
  await page.getByRole('button', { name: `Show ${mine}` }).click();
  await status('live');
  await page.getByText('Nothing has been published').waitFor();
  await own.stop();
});

it.each([
  ['dark', { colorScheme: 'dark' }],
  ['phone', { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }],
  [
    'phone-dark',
    { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, colorScheme: 'dark' as const },
  ],
] as [string, BrowserContextOptions][])('is as good in %s', async (name, context) => {
  const { page, complaints, status } = await visit({ context });
  await status('live');
  expect(await seriousProblems(page)).toEqual([]);
  await page.getByRole('switch', { name: 'Demo feed' }).check();
  await page.locator('.toast').first().waitFor();
  await drawn(page);
  await page.screenshot({ path: join(ARTIFACTS, `${name}.png`), fullPage: true });
  expect(await seriousProblems(page)).toEqual([]);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
  // Every column of the table is in sight, and no toast over any of it.
  expect(await page.locator('.scroll').evaluate((it) => it.scrollWidth - it.clientWidth)).toBeLessThanOrEqual(0);
  expect(await page.locator('.top .toasts').count()).toBe(1);
  const menu = page.getByRole('button', { name: 'Places' });
  if (await menu.isVisible()) {
    await menu.click();
    await page.getByRole('treeitem', { name: 'support', exact: true }).waitFor();
    await page.screenshot({ path: join(ARTIFACTS, `${name}-places.png`) });
  }
  expect(complaints).toEqual([]);
});
