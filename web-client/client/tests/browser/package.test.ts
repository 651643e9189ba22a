import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { openPage, serveFolder, startBrowser } from '../../../testkit/browser.js';
import { TestServer, until } from '../../../testkit/server.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const NAMES = `
import { createClient } from '@orgcast/client';
import { useWebSocketEvent } from '@orgcast/client/react';
const client = createClient({ events: { 'ticket:opened': 'tickets' } });
client.on('ticket:opened', ({ payload }) => payload.id?.trim());
export const useIt = () => useWebSocketEvent('ticket:opened', ({ id }) => id?.trim());
// @ts-expect-error misspelt
client.on('ticket:openend', () => {});
// @ts-expect-error misspelt
void client.subscribe(['tickest']);
`;

let app: string;
let server: TestServer;
let browser: Browser;

beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), 'orgcast-app-'));
  server = await TestServer.start();
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
  await rm(app, { recursive: true, force: true });
});

it('the ten lines of the README work in an empty Vite app that installed the packed package', async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', app], { cwd: ROOT });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as { filename: string; files: { path: string }[] }[];
  const files = packed?.files.map(({ path }) => path) ?? [];
  expect(files).toEqual(
    expect.arrayContaining(['README.md', 'dist/index.js', 'dist/index.d.ts', 'dist/react.js', 'dist/react-server.js']),
  );
  expect(files.filter((path) => !/^(dist\/|README\.md$|package\.json$)/.test(path))).toEqual([]);

  const manifests = ['../package.json', 'package.json'].map((name) => readFile(join(ROOT, name), 'utf8'));
  const [tools, own] = (await Promise.all(manifests)).map((text) => JSON.parse(text));
  const devDependencies = { ...tools.devDependencies, ...own.devDependencies };
  const versions = Object.fromEntries(
    [
      '@types/react',
      '@types/react-dom',
      '@types/ws',
      'react',
      'react-dom',
      'socket.io-client',
      'typescript',
      'vite',
    ].map((name) => [name, devDependencies[name]]),
  );
  const manifest = {
    private: true,
    type: 'module',
    dependencies: { ...versions, '@orgcast/client': `file:./${packed?.filename}` },
  };
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const example = readme.match(/## Ten lines\s+```tsx\n([\s\S]*?)```/)?.[1] ?? '';
  expect(example.trim().split('\n')).toHaveLength(10);
  const others = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
  expect(others).toHaveLength(3);

  await mkdir(join(app, 'src'));
  await Promise.all(
    Object.entries({
      'package.json': JSON.stringify(manifest),
      'index.html':
        '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/src/main.tsx"></script>',
      'src/main.tsx': `import { createRoot } from 'react-dom/client';\nimport App from './App';\ncreateRoot(document.getElementById('root')!).render(<App />);\n`,
      'src/App.tsx': example.replace('http://localhost:5000', server.url),
      // The others are compiled, each as a module of its own.
      'src/readme.d.ts':
        'declare function fetchToken(): Promise<string>;\ndeclare const showToast: (...words: string[]) => void;',
      ...Object.fromEntries(others.map((text, index) => [`src/readme-${index}.ts`, `${text}export {};\n`])),
      // What one of them declares holds in the whole program, and nothing else does.
      'src/names.ts': NAMES,
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'ES2022',
          module: 'ESNext',
          moduleResolution: 'Bundler',
          jsx: 'react-jsx',
          lib: ['ES2022', 'DOM'],
          types: [],
        },
        include: ['src'],
      }),
    }).map(([name, text]) => writeFile(join(app, name), text)),
  );
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: app });
  // Without `skipLibCheck`: the package's own declarations are checked too.
  await run('npx', ['tsc', '-p', '.'], { cwd: app });
  await run('npx', ['vite', 'build', '--logLevel', 'warn'], { cwd: app });

  const pages = await serveFolder(join(app, 'dist'));
  try {
    const { page, complaints } = await openPage(browser);
    await page.goto(pages.origin);
    await page
      .getByText('Live')
      .waitFor()
      .catch((error) => {
        throw new Error(`${error.message}\n${complaints.join('\n')}`);
      });
    await until(async () => (await server.connections('org_123'))[0]?.subscriptions.length, 'the subscription');
    await server.broadcast('/kpi', { organization_id: 'org_123', queue_name: 'support', health_score: 85 });
    await page.getByText('Health: 85').waitFor();
    expect(complaints).toEqual([]);
  } finally {
    pages.close();
  }
});
