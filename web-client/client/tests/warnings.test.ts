import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Client, type ClientOptions, type EventName, type OrgcastError } from '../src/index.js';
import { answer, type Connection, FakeClock, fakeNetwork, settle } from './lib/fake.js';

const WELCOME = { success: true, connection_id: 'c', user_id: 'u', organization_id: 'o', expires_at: null };
const KNOWN = { userId: 'u', organizationId: 'o' };

let said: string[];

beforeEach(() => {
  said = [];
  vi.spyOn(console, 'warn').mockImplementation((text: string) => {
    said.push(text);
  });
});
afterEach(() => vi.restoreAllMocks());

function made(options: ClientOptions = {}) {
  const network = fakeNetwork();
  const clock = new FakeClock();
  const client = new Client(network.open, { clock, heartbeatTimeout: 1e9, random: () => 0, ...options });
  return { network, clock, client };
}

function opened(options: ClientOptions = {}) {
  const all = made(options);
  all.client.connect();
  all.network.last().listener.opened();
  return all;
}

async function live(options: ClientOptions = {}) {
  const all = opened({ ...KNOWN, ...options });
  await answer(all.network.last(), 'authenticate', WELCOME);
  expect(all.client.state.isLive).toBe(true);
  return all;
}

function refusal(code: string, message: string, more: object = {}): object {
  return { success: false, error: { code, message, ...more } };
}

describe('without an identity', () => {
  it('it is said that nothing will be heard, once, however often it reconnects', async () => {
    const { network, client, clock } = opened();
    expect(client.state).toMatchObject({ isConnected: true, isAnonymous: true });
    await clock.pass(2999);
    expect(said).toEqual([]);
    await clock.pass(1);
    expect(said).toEqual([expect.stringMatching(/^\[orgcast\] NO_IDENTITY: .*`getToken`, or `userId` and `organiz/)]);
    network.last().listener.closed(1001, '');
    await clock.pass(5000);
    network.last().listener.opened();
    await clock.pass(10_000);
    expect(said).toHaveLength(1);
  });

  it('nothing is said to who authenticates in time', async () => {
    const { network, client, clock } = opened();
    await clock.pass(2000);
    void client.authenticate(KNOWN);
    await answer(network.last(), 'authenticate', WELCOME);
    expect(client.state).toMatchObject({ isAnonymous: false, isLive: true });
    await clock.pass(10_000);
    expect(said).toEqual([]);
  });
});

describe('refusals', () => {
  it('of an identity are said, with their code and the server’s words', async () => {
    const { network, client } = opened(KNOWN);
    await answer(network.last(), 'authenticate', refusal('AUTH_FAILED', 'a token is needed'));
    expect(client.state.status).toBe('error');
    expect(said).toEqual(['[orgcast] AUTH_FAILED: a token is needed']);
  });

  it('of a token are said when a fresh one did not help', async () => {
    const { network, clock } = opened({ getToken: () => 'old' });
    const refuse = () => answer(network.last(), 'authenticate', refusal('AUTH_FAILED', 'the token has expired'));
    await refuse();
    expect(said).toEqual([]);
    await clock.pass(2000);
    network.last().listener.opened();
    await refuse();
    expect(said).toEqual(['[orgcast] AUTH_FAILED: the token has expired']);
  });

  it('that pass by themselves are said, and tried again', async () => {
    const { network, client, clock } = opened({ getToken: () => 'a token' });
    const more = { reason: 'key_unknown', retry_after_ms: 70_000 };
    await answer(network.last(), 'authenticate', refusal('AUTH_FAILED', 'the key is not known yet', more));
    expect(client.state).toMatchObject({ status: 'reconnecting', error: { reason: 'key_unknown' } });
    expect(said).toHaveLength(1);
    expect(clock.waits).toEqual([70_000]);
  });

  it('of subscriptions and messages that nobody waits for are said', async () => {
    const { network, client } = await live();
    client.hold('kpi');
    await answer(network.last(), 'subscribe', refusal('SUBSCRIPTION_FAILED', 'no channel `kpi`'));
    network.last().listener.received('error', refusal('INVALID_MESSAGE', 'no event `x`'), {});
    expect(said).toEqual([
      '[orgcast] SUBSCRIPTION_FAILED: no channel `kpi`',
      '[orgcast] INVALID_MESSAGE: no event `x`',
    ]);
  });

  it('are said once each, also when only a number in them is another', async () => {
    const { network } = await live();
    for (const ms of [70, 80, 9]) {
      const error = refusal('RATE_LIMIT_EXCEEDED', `too many messages; try again in ${ms} ms`);
      network.last().listener.received('error', error, {});
    }
    expect(said).toEqual(['[orgcast] RATE_LIMIT_EXCEEDED: too many messages; try again in 70 ms']);
  });

  it('do not fill the console however many different ones there are', async () => {
    const { network } = await live();
    for (let n = 0; n < 1000; n += 1) {
      const words = `no event \`${'x'.repeat(n)}\``;
      network.last().listener.received('error', refusal('INVALID_MESSAGE', words), {});
    }
    expect(said).toHaveLength(100);
  });
});

describe('connections', () => {
  it('that can not be made are said once, those that are lost are not', async () => {
    const first = made();
    first.client.connect();
    first.network.last().listener.closed(1006, 'xhr poll error');
    await first.clock.pass(1000);
    first.network.last().listener.closed(1006, 'xhr poll error');
    expect(said).toEqual(['[orgcast] CONNECTION_FAILED: the connection could not be made: xhr poll error']);

    const second = await live();
    second.network.last().listener.closed(1001, 'Server going away');
    await second.clock.pass(1000);
    second.network.last().listener.closed(1006, 'xhr poll error');
    expect(said).toHaveLength(1);
  });

  it('that end for good are said', async () => {
    const { network } = await live();
    network.last().listener.closed(1008, 'Unauthorized: revoked');
    expect(said).toEqual(['[orgcast] CONNECTION_FAILED: the connection was closed: Unauthorized: revoked']);
  });
});

describe('events', () => {
  const on = (client: Client, event: string, options = {}) => client.on(event as EventName, () => {}, options);

  it('that are misspelt are said when the connection is live, with those that may be meant', async () => {
    const all = opened(KNOWN);
    on(all.client, 'kpi:updte');
    expect(said).toEqual([]);
    await answer(all.network.last(), 'authenticate', WELCOME);
    expect(said).toEqual([
      expect.stringMatching(/^\[orgcast\] UNKNOWN_EVENT: no event is named `kpi:updte`, but kpi:update, kpi:computed/),
    ]);
    on(all.client, 'kpi:updte');
    on(all.client, 'Shift:started');
    expect(said).toHaveLength(2);
    expect(said[1]).toContain('shift.started');
    on(all.client, 'nothing like it');
    expect(said[2]).toContain('`events`');
  });

  it('of the connection are told by `when`, which a handler of `connect` is told', async () => {
    const { client } = await live();
    on(client, 'connect');
    expect(said).toEqual([expect.stringContaining("`connect` is told by when('connect', ..)")]);
  });

  it('of the catalogue, of the options and with a channel of their own are in order', async () => {
    const events = { 'ticket:opened': 'tickets' } as ClientOptions['events'];
    const { client, network } = opened({ ...KNOWN, events });
    on(client, '*');
    on(client, 'alert:triggered');
    on(client, 'auth:expiring');
    on(client, 'ticket:opened');
    on(client, 'order:paid', { channel: 'orders' });
    await answer(network.last(), 'authenticate', WELCOME);
    expect(channels(network.last())).toEqual(['alerts', 'tickets', 'orders']);
    await answer(network.last(), 'subscribe', { success: true, subscriptions: [] });
    expect(client.state.isLive).toBe(true);
    expect(said).toEqual([]);
  });
});

describe('the option `warn`', () => {
  it('false says nothing', async () => {
    const { network } = await live({ warn: false });
    network.last().listener.received('error', refusal('INVALID_MESSAGE', 'no event `x`'), {});
    expect(said).toEqual([]);
  });

  it('takes a function that gets them in place of the console', async () => {
    const got: OrgcastError[] = [];
    const { network } = await live({ warn: (warning) => got.push(warning) });
    network.last().listener.received('error', refusal('INVALID_MESSAGE', 'no event `x`'), {});
    network.last().listener.received('error', refusal('INVALID_MESSAGE', 'no event `x`'), {});
    expect(said).toEqual([]);
    expect(got).toMatchObject([{ name: 'OrgcastError', code: 'INVALID_MESSAGE', message: 'no event `x`' }]);
  });

  it('does not come to harm by a function that throws', async () => {
    const reported: unknown[] = [];
    vi.stubGlobal('reportError', (error: unknown) => reported.push(error));
    const warn = () => {
      throw new Error('mine');
    };
    const { network, client } = opened({ ...KNOWN, warn });
    await answer(network.last(), 'authenticate', refusal('AUTH_FAILED', 'no'));
    vi.unstubAllGlobals();
    expect(client.state.status).toBe('error');
    expect(reported).toMatchObject([{ message: 'mine' }]);
  });
});

it('says nothing of a connection that does what it should', async () => {
  const { client, network, clock } = await live();
  client.on('kpi:update', () => {});
  await settle();
  await answer(network.last(), 'subscribe', { success: true, subscriptions: ['kpi:org:o'] });
  await clock.pass(60_000);
  client.disconnect();
  expect(said).toEqual([]);
});

function channels({ sent }: Connection): string[] {
  return sent
    .filter(({ event }) => event === 'subscribe')
    .flatMap(({ data }) => (data as { channels: string[] }).channels);
}
