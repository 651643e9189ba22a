import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { openPage, seriousProblems, startBrowser } from '../../../testkit/browser.js';
import { TestServer } from '../../../testkit/server.js';

let server: TestServer;
let browser: Browser;

beforeAll(async () => {
  server = await TestServer.startAsShipped();
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

interface Description {
  paths: Record<string, Record<string, unknown>>;
}

async function described(): Promise<string[]> {
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as Description;
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

it('shows every route that is described, and asks nobody but the server', async () => {
  const { page, complaints } = await openPage(browser);
  const asked = new Set<string>();
  page.on('request', (request) => asked.add(request.url()));
  await page.goto(`${server.url}/docs`);
  await page.locator('main[aria-busy=false]').waitFor();
  const shown = await page.locator('summary .route').allTextContents();
  expect(shown.sort()).toEqual((await described()).sort());
  for (const url of asked) expect(url.startsWith(server.url) || url === 'data:,').toBe(true);
  expect(complaints).toEqual([]);
});

it('shows what a body has when its route is opened', async () => {
  const { page } = await openPage(browser);
  await page.goto(`${server.url}/docs`);
  const route = page.locator('details').filter({ hasText: 'POST /api/ws/broadcast' }).first();
  await route.locator('summary').click();
  await route.getByText('excludeUserIds').waitFor();
  await route.getByText('organization_id').first().waitFor();
  await route.getByText('message_id').waitFor();
});

for (const colorScheme of ['light', 'dark'] as const) {
  it(`can be read on a phone, ${colorScheme}`, async () => {
    const viewport = { width: 360, height: 740 };
    const { page, complaints } = await openPage(browser, { viewport, colorScheme });
    await page.goto(`${server.url}/docs`);
    await page.locator('main[aria-busy=false]').waitFor();
    for (const summary of await page.locator('summary').all()) await summary.click();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBeLessThanOrEqual(viewport.width);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(ground).toBe(colorScheme === 'dark' ? 'rgb(20, 23, 27)' : 'rgb(255, 255, 255)');
    expect(await seriousProblems(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });
}
