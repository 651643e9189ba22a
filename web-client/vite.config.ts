import { defineConfig } from 'vite';

export default defineConfig({
  // Whatever NODE_ENV is when it is packed, the package uses the runtime that production has.
  oxc: { jsx: { runtime: 'automatic', development: false } },
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      entry: { index: 'src/index.ts', react: 'src/react/index.ts' },
      formats: ['es'],
    },
    rolldownOptions: {
      external: [/^react(-dom)?(\/|$)/, 'socket.io-client'],
      output: { chunkFileNames: 'shared/[name].js' },
    },
  },
});
