import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, expect, it } from 'vitest';
import { newOrganization, TestServer, until } from '../../testkit/server.js';
import { catalogue } from '../src/catalogue.js';
import type { EventName } from '../src/index.js';
import { closeClients, makeClient } from './lib/clients.js';

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(async () => {
  closeClients();
  await server.stop();
});

/** Events that no backend sends. */
const OF_THE_SERVER: EventName[] = ['auth:expiring'];

/** The events that the types know. */
function typed(): EventName[] {
  const read = (file: string) => readFileSync(new URL(`../src/${file}`, import.meta.url), 'utf8');
  const builtIn = read('built-in.ts').match(/export interface BuiltInEvents \{([^}]*)\}/)?.[1] ?? '';
  const own = read('events.ts').match(/export interface EventMap extends BuiltInEvents \{([^}]*)\}/)?.[1] ?? '';
  const map = builtIn + own;
  return [...map.matchAll(/^ {2}'?([\w:.]+)'?:/gm)].map(([, name]) => name as EventName);
}

it('the catalogue that is there at run time is the typed one', () => {
  expect(catalogue().sort()).toEqual(typed().sort());
});

it('every event of the typed catalogue arrives at a handler that named nothing but the event', async () => {
  const events = typed().filter((event) => !OF_THE_SERVER.includes(event));
  expect(events.length).toBeGreaterThan(45);

  const organizationId = newOrganization();
  const client = makeClient('plain WebSocket', { url: server.url, userId: 'u', organizationId });
  const got: string[] = [];
  for (const event of events) client.on(event, (message) => got.push(message.type));
  client.connect();
  await until(() => client.state.isLive, 'the client to be live');
  for (const event of events) {
    expect(await server.event(event, organizationId, {}), event).toMatchObject({ recipients: 1 });
  }
  await until(() => got.length >= events.length, 'the events');
  expect(got).toEqual(events);
});

it('the server has no event that the typed catalogue does not know', async () => {
  const answer = (await server.post('/api/ws/broadcast', {
    event: 'no-such-event',
    data: {},
    target: { organization_id: 'o' },
  })) as unknown as { error: { code: string } };
  expect(answer.error.code).toBe('INVALID_MESSAGE');
  const json = readFileSync(new URL('../../../src/domain/catalogue.json', import.meta.url), 'utf8');
  const groups = JSON.parse(json) as { channel: string | null; events: { name: string }[] }[];
  const names = groups.flatMap((group) => group.events.map((event) => event.name));
  const known: string[] = typed();
  const missing = names.filter((name) => !known.includes(name));
  expect(names.length).toBeGreaterThan(45);
  expect(missing).toEqual([]);
});
