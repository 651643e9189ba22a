import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build, type Rolldown } from 'vite';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const BUDGET = 6 * 1024;

it('core and plain WebSocket take less than 6 KB gzipped and bring nothing of Socket.IO', async () => {
  const entry = '\0app';
  const output = (await build({
    root,
    configFile: false,
    logLevel: 'error',
    build: { write: false, minify: true, target: 'es2022', rolldownOptions: { input: entry } },
    plugins: [
      {
        name: 'app',
        resolveId: (id) => (id === entry ? id : null),
        load: (id) =>
          id === entry
            ? `import { createPlainClient } from ${JSON.stringify(`${root}src/index.ts`)};
               globalThis.client = createPlainClient({ url: 'ws://localhost:5000' });`
            : null,
      },
    ],
  })) as Rolldown.RolldownOutput;
  const chunks = output.output.filter((file) => file.type === 'chunk');
  const code = chunks.map((chunk) => chunk.code).join('\n');
  const size = gzipSync(code).length;
  console.info(`core + plain: ${size} bytes gzipped of ${BUDGET}`);
  expect(code).not.toMatch(/socket\.io/i);
  expect(size).toBeLessThan(BUDGET);
  expect(size).toBeGreaterThan(1000);
});
