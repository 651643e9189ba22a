import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { servePages } from '../lib/pages.mjs';
import { startBrowser } from '../lib/browser.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/server.mjs';

/** Everything that an escape of a form, of JavaScript or of JSON could spoil. */
const TEXT = 'quotes " \\ / \\n \n \u2028 \u2029 </script> <!-- % & + = ü 東京 \ud83d\ude00 \u0000';

const PAGES = {
  '/2': page('/2.js'),
  '/2.js': new URL('../node_modules/socket.io-client-2/dist/socket.io.js', import.meta.url),
  '/4': page('/4.js'),
  '/4.js': new URL('../node_modules/socket.io-client/dist/socket.io.js', import.meta.url),
};

function page(script) {
  return `<!doctype html><body><script src="${script}"></script>`;
}

describe('a page in a browser', () => {
  let server;
  let pages;
  let browser;
  before(async () => {
    pages = await servePages(PAGES);
    server = await startServer({ cors_origins: pages.origin });
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    pages?.close();
    await server?.stop();
  });

  scenario('uses JSONP with socket.io-client 2.x that is told to', async (t) => {
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${pages.origin}/2`);
    const organization_id = freshOrganization();
    const subscription = await page.evaluate(
      ([url, organization_id, said]) =>
        new Promise((resolve, reject) => {
          const socket = window.io(url, { path: '/ws', transports: ['polling'], forceJSONP: true });
          window.heard = new Promise((hear) => socket.on('kpi:update', hear));
          socket.on('connect_error', (error) => reject(new Error(`connect_error ${error}`)));
          const call = (event, data) => new Promise((answer) => socket.emit(event, data, answer));
          socket.on('connect', async () => {
            const { success } = await call('authenticate', { user_id: 'u', organization_id });
            const { data } = await call('client:ping', { said });
            const { subscriptions } = await call('subscribe', { channels: ['kpi'] });
            // Only the transport that polls by scripts has one.
            resolve({ success, said: data.said, subscriptions, scripts: 'script' in socket.io.engine.transport });
          });
        }),
      [server.url, organization_id, TEXT],
    );
    assert.deepEqual(subscription, {
      success: true,
      said: TEXT,
      subscriptions: [`kpi:org:${organization_id}`],
      scripts: true,
    });
    const { recipients } = await server.broadcast('/kpi', { organization_id, text: TEXT });
    assert.equal(recipients, 1);
    assert.deepEqual(await page.evaluate(() => window.heard), { organization_id, text: TEXT });
  });

  for (const version of ['4', '2']) {
    scenario(`that is reloaded seven times on polling has one place, ${version}.x`, async (t) => {
      const page = await browser.newPage();
      t.after(() => page.close());
      const organization_id = freshOrganization();
      await page.goto(`${pages.origin}/${version}`);
      for (let n = 0; n < 8; n += 1) {
        if (n > 0) await page.reload();
        const success = await page.evaluate(
          ([url, organization_id]) =>
            new Promise((resolve) => {
              const socket = window.io(url, { path: '/ws', transports: ['polling'] });
              socket.on('connect', () =>
                socket.emit('authenticate', { user_id: 'u', organization_id }, ({ success }) => {
                  // Behind the next poll, which a reload would otherwise keep from being sent: whether a page without
                  // one is still there, no server can know.
                  const behind = () => fetch(`${url}/healthz`, { mode: 'no-cors' });
                  queueMicrotask(() => behind().then(() => resolve(success)));
                }),
              );
            }),
          [server.url, organization_id],
        );
        assert.equal(success, true);
      }
      await server.counts(organization_id, 1);
    });
  }
});
