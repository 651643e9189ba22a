/** What plain JavaScript can get wrong, where a compiler would have said so. */
import { describe, expect, it } from 'vitest';

import { Client, createClient, createPlainClient, createSocketIoClient, getWebSocketClient } from '../src/index.js';
import { answer, FakeClock, fakeNetwork, settle } from './lib/fake.js';

const WELCOME = { success: true, connection_id: 'c', user_id: 'u', organization_id: 'o', expires_at: null };

/** A client as a program without types sees it. */
// biome-ignore lint/suspicious/noExplicitAny: that is what is tested
async function live(): Promise<{ client: any; sent: () => string[]; last: () => unknown }> {
  const network = fakeNetwork();
  const client = new Client(network.open, { clock: new FakeClock(), userId: 'u', organizationId: 'o', warn: false });
  client.connect();
  network.last().listener.opened();
  await answer(network.last(), 'authenticate', WELCOME);
  const { sent } = network.last();
  return { client, sent: () => sent.map(({ event }) => event), last: () => sent.at(-1)?.data };
}

const refused = (words: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(words) });

describe('a filter with a name that is none', () => {
  const slip = { organization_id: 'o', queueNmae: 'support' };
  const words = /`queueNmae`; allowed are organization_id, .*department_id, .*queue_name/;

  it('subscribes to nothing, least of all to the whole organization', async () => {
    const { client, sent } = await live();
    await expect(client.subscribe(['kpi'], slip)).rejects.toEqual(refused(words));
    await expect(client.unsubscribe(['kpi'], slip)).rejects.toEqual(refused(words));
    expect(() => client.hold('kpi', slip)).toThrow(refused(words));
    expect(() => client.on('kpi:update', () => {}, { filter: slip })).toThrow(refused(words));
    await settle();
    expect(sent()).not.toContain('subscribe');
  });

  it('is as little one in the place of the options of a handler', async () => {
    const { client, sent } = await live();
    expect(() => client.on('kpi:update', () => {}, { queue_name: 'support' })).toThrow(
      refused(/`queue_name`; allowed are channel, filter/),
    );
    await settle();
    expect(sent()).not.toContain('subscribe');
  });

  it('is no filter with something that is no id', async () => {
    const { client, sent } = await live();
    await expect(client.subscribe('kpi', { queue_name: { name: 'support' } })).rejects.toEqual(
      refused(/`queue_name` must be text or a number, not object/),
    );
    await expect(client.subscribe('kpi', 'org_1')).rejects.toEqual(refused(/allowed are organization_id/));
    await settle();
    expect(sent()).not.toContain('subscribe');
  });

  it('is a filter under every name that the server knows', async () => {
    for (const [filter, place] of [
      [
        { orgId: 'o', deptId: 'd', queue: 'q' },
        { organization_id: 'o', department_id: 'd', queue_name: 'q' },
      ],
      [
        { org_id: 'o', dept_id: 7 },
        { organization_id: 'o', department_id: '7' },
      ],
      [{ tenantId: 'o', queueName: undefined, department_id: null }, { organization_id: 'o' }],
    ]) {
      const { client, last } = await live();
      void client.subscribe('kpi', filter);
      await settle();
      expect(last()).toEqual({ channels: ['kpi'], ...place });
    }
  });
});

describe('options with a name that is none', () => {
  it.each([
    ['createClient', createClient],
    ['createPlainClient', createPlainClient],
    ['createSocketIoClient', createSocketIoClient],
    ['getWebSocketClient', getWebSocketClient],
    ['Client', (options: object) => new Client(fakeNetwork().open, options)],
  ])('are refused by %s', (_, create) => {
    const slip = { organisationId: 'o' } as object;
    expect(() => create(slip)).toThrow(refused(/`organisationId`; allowed are .*organizationId/));
  });

  it('are refused with those of the transport among what is allowed', () => {
    const slip = { websocket: class {}, Transports: [] } as object;
    expect(() => createPlainClient(slip)).toThrow(refused(/`websocket`; allowed are .*, WebSocket$/));
    expect(() => createClient(slip)).toThrow(
      refused(/`websocket`; allowed are .*, protocol, io, transports, WebSocket$/),
    );
    expect(() => createSocketIoClient({ Transports: [] } as object)).toThrow(refused(/, io, transports$/));
  });

  it('are refused by configure, and change nothing', async () => {
    const { client } = await live();
    expect(() => client.configure({ userID: 'v' })).toThrow(refused(/`userID`; allowed are .*userId/));
    expect(client.state.isLive).toBe(true);
  });
});

describe('handlers', () => {
  it('that are no functions are refused', async () => {
    const { client } = await live();
    expect(() => client.on('kpi:update')).toThrow(refused(/kpi:update: the handler must be a function, not undefined/));
    expect(() => client.when('error', 'log')).toThrow(refused(/must be a function, not string/));
  });

  it('of something that never happens to a connection are refused', async () => {
    const { client } = await live();
    expect(() => client.when('connected', () => {})).toThrow(
      refused(/`connected`; allowed are connect, authenticated, disconnect, reconnect, error/),
    );
  });

  it('by a name that no event has are refused', () => {
    const handlers = { onKpiUpdate: () => {} } as object;
    expect(() => getWebSocketClient().on(handlers)).toThrow(refused(/`onKpiUpdate`; allowed are .*onKPIUpdate/));
  });
});
