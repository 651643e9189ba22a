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
  const source = readFileSync(new URL('../src/events.ts', import.meta.url), 'utf8');
  const map = source.match(/export interface EventMap \{([^}]*)\}/)?.[1] ?? '';
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
  const rust = readFileSync(new URL('../../../src/domain/event.rs', import.meta.url), 'utf8');
  const table = rust.match(/const BUILT_IN[^=]*= &\[([\s\S]*?)\n\];/)?.[1] ?? '';
  const names = [...table.matchAll(/"([^"]+)"/g)].map(([, name]) => name as string);
  const known = readFileSync(new URL('../src/events.ts', import.meta.url), 'utf8');
  const missing = names.filter((name) => /[:.A-Z]/.test(name) && !known.includes(name));
  expect(names.length).toBeGreaterThan(60);
  expect(missing).toEqual([]);
});
