import { defineConfig } from 'vitest/config';

import { alias } from './vite.config.js';

const common = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: { ...common, name: 'dashboard', include: ['tests/*.test.ts'], environment: 'node' },
      },
      {
        test: { ...common, name: 'dashboard in a browser', include: ['tests/browser/*.test.ts'], testTimeout: 300_000 },
      },
    ],
  },
});
