import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

const SOURCES = join(import.meta.dirname, '../src');

/** What the page is made of, beside its own files. */
const ALLOWED = [
  '@orgcast/client',
  '@orgcast/client/react',
  'react',
  'react-dom/client',
  'uplot',
  'uplot/dist/uPlot.min.css',
];

it('the page knows of the client what everybody may know', () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name));
  expect(files.length).toBeGreaterThan(15);
  const imported = files.flatMap((name) => {
    const source = readFileSync(join(SOURCES, name), 'utf8');
    const names = [...source.matchAll(/(?:from|import)[ (]'([^']+)'/g)].map(([, from]) => from as string);
    return names.filter((from) => !from.startsWith('./')).map((from) => `${name}: ${from}`);
  });
  expect(imported.length).toBeGreaterThan(20);
  expect(imported.filter((line) => !ALLOWED.some((name) => line.endsWith(`: ${name}`)))).toEqual([]);
});
