import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The entry of server components refers to the one of client components, and has nothing of it inside. */
const acrossTheBoundary: Plugin = {
  name: 'across-the-boundary',
  enforce: 'pre',
  resolveId: (id, importer) =>
    id === './react/index.js' && importer === path('src/react-server.ts') ? { id: './react.js', external: true } : null,
};

export default defineConfig({
  root: path('.'),
  plugins: [acrossTheBoundary],
  // Whatever NODE_ENV is when it is packed, the package uses the runtime that production has.
  oxc: { jsx: { runtime: 'automatic', development: false } },
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      entry: { index: 'src/index.ts', react: 'src/react/index.ts', 'react-server': 'src/react-server.ts' },
      formats: ['es'],
    },
    rolldownOptions: {
      external: [/^react(-dom)?(\/|$)/, 'socket.io-client'],
      // An entry keeps its directive.
      checks: { moduleLevelDirective: false },
      output: { chunkFileNames: 'shared/[name].js' },
    },
  },
});
