import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The client's public entries, from their sources: nothing has to be built first, and a change shows at once. */
export const alias = [
  { find: /^@orgcast\/client\/react$/, replacement: path('../client/src/react/index.ts') },
  { find: /^@orgcast\/client$/, replacement: path('../client/src/index.ts') },
];

/** Does not write what is there already: for a file that is written the server is built again. */
const onlyWhatChanged: Plugin = {
  name: 'only-what-changed',
  generateBundle: {
    order: 'post',
    handler(options, bundle) {
      for (const [name, output] of Object.entries(bundle)) {
        const content = Buffer.from(output.type === 'chunk' ? output.code : output.source);
        try {
          if (readFileSync(join(options.dir ?? '', name)).equals(content)) delete bundle[name];
        } catch {
          // It was not built before.
        }
      }
    },
  },
};

/** One page, one script, one style sheet, all by relative URLs: the server carries them in its binary. */
export default defineConfig({
  root: path('.'),
  base: './',
  plugins: [react(), onlyWhatChanged],
  resolve: { alias },
  build: {
    outDir: path('dist'),
    // The names are always the same.
    emptyOutDir: false,
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
