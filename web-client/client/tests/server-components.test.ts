/** The package on a server: rendered there, and imported by server components. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { build, type Plugin, type Rolldown } from 'vite';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import * as browser from '../src/react/index.js';
import * as server from '../src/react-server.js';

const root = join(import.meta.dirname, '..');
let app: string;
let dist: string;

beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), 'orgcast-server-'));
  const client = join(app, 'node_modules/@orgcast/client');
  dist = join(client, 'dist');
  await mkdir(client, { recursive: true });
  await copyFile(join(root, 'package.json'), join(client, 'package.json'));
  const configFile = join(root, 'vite.config.ts');
  await build({ configFile, logLevel: 'error', build: { outDir: dist, emptyOutDir: true } });
});
afterAll(() => rm(app, { recursive: true, force: true }));

describe('rendered on a server', () => {
  const { WebSocketProvider, WebSocketStatus } = browser;
  const render = (options: browser.UseWebSocketOptions) =>
    renderToString(
      createElement(WebSocketProvider, { options }, createElement(WebSocketStatus, { showDetails: true })),
    );

  it('the status is that it connects, with nothing to press, and nothing is said or left behind', () => {
    const said = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn')];
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const html = render({ url: 'http://localhost:5000', userId: 'u', organizationId: 'o' });
    expect(html).toContain('data-status="connecting"');
    expect(html).toContain('Connecting');
    expect(html).not.toMatch(/Offline|Reconnect|button/);
    for (const spy of [...said, timers]) expect(spy).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });

  it('the status is that it is offline where it may not connect by itself', () => {
    expect(render({ autoConnect: false })).toContain('Offline');
  });
});

describe('in server components', () => {
  it('the React entry is the browser’s', async () => {
    const [first] = (await readFile(join(dist, 'react.js'), 'utf8')).split('\n');
    expect(first).toMatch(/^['"]use client['"];$/);
    // Those who use the core on a server are not sent to the browser for it.
    expect(await readFile(join(dist, 'index.js'), 'utf8')).not.toMatch(/use client|from "react/);
  });

  it('it has the same names, the components as references to the browser’s, without React', async () => {
    const { names, code } = await imported('@orgcast/client/react');
    expect(Object.keys(names).sort()).toEqual(Object.keys(browser).sort());
    for (const name of ['WebSocketProvider', 'WebSocketStatus', 'WebSocketStatusIndicator', 'websocketClient']) {
      expect(names[name], name).toBe(`reference to ${name}`);
    }
    expect(code).not.toMatch(/createContext|useSyncExternalStore/);
  });

  it('a hook says where it belongs', () => {
    const hooks = Object.keys(browser).filter((name) => name.startsWith('use'));
    expect(hooks.length).toBeGreaterThan(10);
    for (const name of hooks) {
      expect(() => (server as unknown as Record<string, () => void>)[name]?.()).toThrow(
        `${name} is a hook of client components: write 'use client'`,
      );
    }
  });
});

/** What a server component gets for a package, from a bundler that knows of them. */
async function imported(name: string): Promise<{ names: Record<string, unknown>; code: string }> {
  const entry = join(app, 'entry.js');
  await writeFile(entry, `export * from ${JSON.stringify(name)};`);
  const references: Plugin = {
    name: 'references',
    transform(code) {
      if (!/^['"]use client/.test(code)) return null;
      const exported = code.match(/export \{([^}]*)\};/)?.[1] ?? '';
      const all = exported.split(',').map((it) => it.trim().split(' as ').at(-1) ?? '');
      return all.map((it) => `export const ${it} = 'reference to ${it}';`).join('\n');
    },
  };
  const built = await build({
    root: app,
    configFile: false,
    logLevel: 'error',
    plugins: [references],
    resolve: { conditions: ['react-server', 'import'] },
    build: { write: false, minify: false, lib: { entry, formats: ['es'], fileName: 'entry' } },
  });
  const [code = ''] = ([built].flat() as Rolldown.RolldownOutput[]).map(({ output }) => output[0].code);
  const file = join(app, 'built.mjs');
  await writeFile(file, code);
  return { names: { ...(await import(/* @vite-ignore */ file)) }, code };
}
