import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const alias = [
  { find: /^@orgcast\/client$/, replacement: path('src/index.ts') },
  {
    find: /^(@orgcast\/client\/react|@\/.*|@context\/.*|@hooks\/.*|~\/.*)$/,
    replacement: path('src/react/index.ts'),
  },
];

const react18 = [
  // As a module of its own, its imports go through these names too.
  {
    find: /^@testing-library\/react$/,
    replacement: path('../node_modules/@testing-library/react/dist/@testing-library/react.esm.js'),
  },
  { find: /^react-dom(\/.*)?$/, replacement: `${path('../testkit/react18/node_modules/react-dom')}$1` },
  { find: /^react(\/.*)?$/, replacement: `${path('../testkit/react18/node_modules/react')}$1` },
];

/** The documents' samples name the ports of their own servers; here they find the one under test. */
const serverOfTheTest: Plugin = {
  name: 'server-of-the-test',
  enforce: 'pre',
  transform: (code, id) =>
    id.includes('/tests/samples/')
      ? code
          .replaceAll("'http://localhost:5000'", 'globalThis.SERVER_URL')
          .replaceAll("'ws://localhost:3001'", "globalThis.SERVER_URL.replace('http', 'ws')")
      : null,
};

const common = { testTimeout: 120_000, hookTimeout: 120_000, unstubGlobals: false };

const inBrowserLike = {
  ...common,
  include: ['tests/react/*.test.tsx'],
  environment: 'jsdom',
  environmentOptions: { jsdom: { pretendToBeVisual: true, url: 'http://localhost:3000/' } },
  setupFiles: ['tests/react/setup.ts'],
};

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: { ...common, name: 'core', include: ['tests/*.test.ts'], environment: 'node' },
      },
      {
        test: { ...common, name: 'browser', include: ['tests/browser/*.test.ts'], testTimeout: 300_000 },
      },
      {
        plugins: [serverOfTheTest],
        resolve: { alias },
        test: { ...inBrowserLike, name: 'react 19' },
      },
      {
        plugins: [serverOfTheTest],
        resolve: { alias: [...alias, ...react18] },
        test: {
          ...inBrowserLike,
          name: 'react 18',
          env: { REACT: '18' },
          server: { deps: { inline: [/@testing-library\/react/] } },
        },
      },
    ],
  },
});
