// Writes what follows from the server's catalogue of events, src/domain/catalogue.json: the client's
// built-in.ts and the table in README.md. With --check it only says whether they are up to date.
import { readFileSync, writeFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, root), 'utf8');

/** As long as a line may be: biome.json. */
const LINE_WIDTH = 120;

const groups = JSON.parse(read('src/domain/catalogue.json'));
const payloadOf = (event) => event.payload ?? 'Details';

const key = (name) => (/^\w+$/.test(name) ? name : `'${name}'`);

function list(head, names, tail, indent) {
  const items = names.map((name) => `'${name}'`);
  const line = `${indent}${head}[${items.join(', ')}]${tail}`;
  if (line.length <= LINE_WIDTH) return line;
  return [`${indent}${head}[`, ...items.map((item) => `${indent}  ${item},`), `${indent}]${tail}`].join('\n');
}

function typescript() {
  const events = groups.flatMap((group) => group.events);
  const withChannel = groups.filter((group) => group.channel !== null);
  const withoutChannel = groups.filter((group) => group.channel === null).flatMap((group) => group.events);
  const payloads = [...new Set(events.map(payloadOf))].sort();
  const names = (of) => of.map((event) => event.name);
  return `// Written by \`npm run catalogue\` from src/domain/catalogue.json: edit that.

import type {
${payloads.map((payload) => `  ${payload},`).join('\n')}
} from './events.js';

/** The built-in events with what they carry. */
export interface BuiltInEvents {
${events.map((event) => `  ${key(event.name)}: ${payloadOf(event)};`).join('\n')}
}

/** The channels that built-in events go to. */
export interface BuiltInChannels {
${withChannel.map((group) => `  ${key(group.channel)}: true;`).join('\n')}
}

/** The built-in events by their channels. */
export const CATALOGUE = {
${withChannel.map((group) => list(`${key(group.channel)}: `, names(group.events), ',', '  ')).join('\n')}
} as const satisfies Record<keyof BuiltInChannels, readonly (keyof BuiltInEvents)[]>;

/** Events that go to the whole organization. */
${list('export const WITHOUT_CHANNEL = ', names(withoutChannel), ' as const;', '')}
`;
}

function readme() {
  const rows = groups.map(({ channel, events }) => {
    const where = channel === null ? 'none: the whole organization' : `\`${channel}\``;
    return `| ${where} | ${events.map((event) => `\`${event.name}\``).join(' ')} |`;
  });
  const table = ['| channel | events |', '|---|---|', ...rows].join('\n');
  const text = read('README.md');
  const [before, rest] = text.split('<!-- events -->\n');
  const after = rest?.split('<!-- /events -->\n')[1];
  if (after === undefined)
    throw new Error('README.md has no place for the events: <!-- events --> and <!-- /events -->');
  return `${before}<!-- events -->\n\n${table}\n\n<!-- /events -->\n${after}`;
}

const files = { 'web-client/client/src/built-in.ts': typescript, 'README.md': readme };
for (const [path, write] of Object.entries(files)) {
  const text = write();
  let old = '';
  try {
    old = read(path);
  } catch {
    // It is not there yet.
  }
  if (text === old) continue;
  if (process.argv.includes('--check')) {
    console.error(`${path} is not what src/domain/catalogue.json says: run \`npm run catalogue\` in web-client`);
    process.exitCode = 1;
  } else {
    writeFileSync(new URL(path, root), text);
  }
}
