/** The reference in the README has everything that the package has, and nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { Client, WebSocketClient } from '../src/index.js';
import { OPTION_NAMES } from '../src/options.js';
import { HOOK_NAMES } from '../src/react/binding.js';
import { DEFAULTS, INITIAL_STATE, LIFECYCLE } from '../src/types.js';

const read = (name: string) => readFileSync(join(import.meta.dirname, '..', name), 'utf8');
const readme = read('README.md');

/** Every name that stands in code. */
const named = new Set([...readme.matchAll(/`([^`\n]+)`/g)].flatMap(([, code = '']) => code.match(/[\w$]+/g) ?? []));

/** The rows of the table in a section, as texts of its cells. */
function rows(section: string, of = 0): string[][] {
  const [, text = ''] = readme.split(`## ${section}\n`);
  const tables = text.split(/\n## /)[0]?.match(/(^\|.*\n)+/gm) ?? [];
  const lines = tables[of]?.trim().split('\n').slice(2) ?? [];
  return lines.map((line) =>
    line
      .split('|')
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
}

/** The names that a module exports, types among them. */
function exported(file: string): string[] {
  const source = read(file);
  const lists = [...source.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list = '']) => list.split(','));
  const names = lists.map(
    (name) =>
      name
        .replace(/^\s*type\s/, '')
        .trim()
        .split(' as ')
        .at(-1) ?? '',
  );
  const own = [...source.matchAll(/^export (?:interface|type|const|function|class) (\w+)/gm)].map(([, name]) => name);
  const stars = [...source.matchAll(/export \* from '\.\/(\w+)\.js'/g)].flatMap(([, it]) => exported(`src/${it}.ts`));
  return [...names, ...own, ...stars].filter((name): name is string => !!name);
}

/** The members that an interface declares itself. */
function members(file: string, name: string): string[] {
  const [, body = ''] = read(file).match(new RegExp(`export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`)) ?? [];
  return [...new Set([...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(<]/gm)].map(([, member]) => member as string))];
}

const missing = (names: readonly string[]) => names.filter((name) => !named.has(name));

describe('every name is documented', () => {
  it.each(['src/index.ts', 'src/react/index.ts'])('that %s exports', (file) => {
    const names = exported(file);
    expect(names.length).toBeGreaterThan(25);
    expect(missing(names)).toEqual([]);
  });

  it.each([
    ['src/types.ts', 'ConnectionState'],
    ['src/types.ts', 'HandlerOptions'],
    ['src/events.ts', 'Message'],
    ['src/facade.ts', 'Handlers'],
    ['src/react/use-websocket.ts', 'UseWebSocketResult'],
    ['src/react/use-websocket.ts', 'WebSocketActions'],
    ['src/react/events.ts', 'Updates'],
    ['src/react/events.ts', 'AlertNotifications'],
    ['src/react/subscription.ts', 'Subscription'],
    ['src/react/health.ts', 'WebSocketHealth'],
    ['src/react/dashboard.ts', 'DashboardRealtime'],
    ['src/react/provider.tsx', 'WebSocketProviderProps'],
    ['src/react/status.tsx', 'WebSocketStatusProps'],
  ])('that %s has in %s', (file, name) => {
    const names = members(file, name);
    expect(names.length).toBeGreaterThan(0);
    expect(missing(names.filter((it) => it !== 'children'))).toEqual([]);
  });

  it('that clients have, of what happens to them, and of errors', () => {
    const own = (it: object) => Object.getOwnPropertyNames(it).filter((name) => name !== 'constructor');
    const client = new Client(() => ({ request: async () => {}, close: () => {} }));
    const names = [...own(Client.prototype), ...own(client), ...own(WebSocketClient.prototype)];
    expect(names).toEqual(expect.arrayContaining(['subscribe', 'connect', 'initialize', 'state']));
    const [, union = ''] = read('src/errors.ts').match(/export type ErrorCode =([\s\S]*?);/) ?? [];
    const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code]) => code as string);
    expect(codes.length).toBeGreaterThan(15);
    const handlers = [...read('src/facade.ts').matchAll(/^ {2}(on\w+):/gm)].map(([, name]) => name as string);
    expect(handlers).toHaveLength(17);
    expect(missing([...names, ...codes, ...handlers, ...LIFECYCLE])).toEqual([]);
  });
});

describe('the tables of options', () => {
  const names = (cell: string | undefined) => (cell?.match(/`(\w+)`/g) ?? []).map((name) => name.slice(1, -1));
  const all = rows('Options');
  const ofHooks = rows('Options', 1);

  it('have a place for every option, and for nothing else', () => {
    const documented = [...all, ...ofHooks].flatMap(([first]) => names(first));
    expect(documented.sort()).toEqual([...OPTION_NAMES, ...HOOK_NAMES].sort());
  });

  it('say their defaults', () => {
    for (const [option, value] of Object.entries(DEFAULTS)) {
      if (value === undefined || typeof value === 'function' || typeof value === 'object') continue;
      const row = all.find(([first]) => names(first)[0] === option);
      expect([option, row?.[1]]).toEqual([option, `\`${value}\``]);
    }
  });
});

it('the table of the state has what a state has', () => {
  const documented = rows('Clients', 2).flatMap(([first]) => first?.match(/\w+/g) ?? []);
  expect(documented.sort()).toEqual(Object.keys(INITIAL_STATE).sort());
});

it('it speaks of no hook that is not there', () => {
  const hooks = [...named].filter((name) => /^use[A-Z]/.test(name) && name !== 'useSyncExternalStore');
  expect(hooks.sort()).toEqual(
    exported('src/react/index.ts')
      .filter((name) => /^use[A-Z]/.test(name))
      .sort(),
  );
});
