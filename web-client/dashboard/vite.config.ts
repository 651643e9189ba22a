import { fileURLToPath } from 'node:url';

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** One page, one script, one style sheet, all by relative URLs: the server carries them in its binary. */
export default defineConfig({
  root: path('.'),
  base: './',
  plugins: [react()],
  resolve: {
    alias: [
      { find: /^@orgcast\/client\/react$/, replacement: path('../src/react/index.ts') },
      { find: /^@orgcast\/client$/, replacement: path('../src/index.ts') },
    ],
  },
  build: {
    outDir: path('dist'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    rolldownOptions: {
      output: {
        codeSplitting: false,
        entryFileNames: 'assets/dashboard.js',
        assetFileNames: 'assets/dashboard[extname]',
      },
    },
  },
});
