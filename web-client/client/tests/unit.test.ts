import { describe, expect, it } from 'vitest';
import { isAt } from '../src/filter.js';
import { backoffDelay, Client, channelOf, shouldReconnect } from '../src/index.js';
import { answer, FakeClock, fakeNetwork, settle } from './lib/fake.js';

const WELCOME = { success: true, connection_id: 'c', user_id: 'u', organization_id: 'o', expires_at: null };

describe('backoff', () => {
  it('doubles its bound up to the greatest and draws from the whole of it', () => {
    const bounds = { base: 1000, max: 30_000 };
    const highest = [0, 1, 2, 3, 4, 5, 6, 100].map((attempt) => backoffDelay(attempt, bounds, () => 0.999_999));
    expect(highest).toEqual([999, 1999, 3999, 7999, 15_999, 29_999, 29_999, 29_999]);
    expect(backoffDelay(5, bounds, () => 0)).toBe(0);
    expect(backoffDelay(2, bounds, () => 0.5)).toBe(2000);
  });

  it('spreads clients that lost the same server evenly', () => {
    const delays = Array.from({ length: 10_000 }, () => backoffDelay(3, { base: 1000, max: 30_000 }, Math.random));
    const thirds = [0, 1, 2].map((third) => delays.filter((ms) => Math.floor((ms / 8000) * 3) === third).length);
    for (const count of thirds) expect(count).toBeGreaterThan(3000);
  });
});

describe('close codes', () => {
  it.each([1002, 1003, 1007, 1008, 1009])('%i means: do not come back', (code) => {
    const { network, client } = connected();
    expect(shouldReconnect(code)).toBe(false);
    network.last().listener.closed(code, 'because');
    expect(client.state).toMatchObject({ status: 'error', isConnected: false, error: { closeCode: code } });
  });

  it.each([1000, 1001, 1005, 1006, 1011, 1012, 1013])('%i means: come back', async (code) => {
    const { network, client, clock } = connected();
    expect(shouldReconnect(code)).toBe(true);
    network.last().listener.closed(code, 'because');
    expect(client.state.status).toBe('reconnecting');
    await clock.pass(60_000);
    expect(network.connections.length).toBeGreaterThan(1);
  });

  it('1013 means: not at once', async () => {
    const { network, clock } = connected({ random: () => 0 });
    network.last().listener.closed(1013, 'Too slow');
    await settle();
    expect(clock.waits).toEqual([1000]);
  });
});

describe('reconnecting', () => {
  it('backs off while the server is away and begins anew after a connection that lasted', async () => {
    const { network, client, clock } = connected({ random: () => 0.5 });
    const waits: number[] = [];
    const lose = async () => {
      network.last().listener.closed(1006, '');
      await settle();
      waits.push(clock.waits[0] ?? -1);
    };
    await clock.pass(6000);
    await lose();
    for (let n = 0; n < 6; n += 1) {
      await clock.pass(clock.waits[0] ?? 0);
      await lose();
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    expect(client.state.reconnectAttempts).toBe(7);
    await clock.pass(15_000);
    network.last().listener.opened();
    await clock.pass(100);
    await lose();
    expect(waits.at(-1)).toBe(15_000);
    await clock.pass(15_000);
    network.last().listener.opened();
    await answer(network.last(), 'client:ping', { server_time: '' });
    await clock.pass(6000);
    await lose();
    expect(waits.at(-1)).toBe(500);
  });

  it('does not listen to a connection that it has left', async () => {
    const { network, client } = connected();
    const first = network.last().listener;
    client.reconnect();
    expect(network.connections).toHaveLength(2);
    expect(network.connections[0]?.isClosed).toBe(true);
    first.closed(1008, 'late');
    first.opened();
    expect(client.state.status).toBe('connecting');
  });

  it('stops trying when it is told to disconnect', async () => {
    const { network, client, clock } = connected();
    network.last().listener.closed(1006, '');
    client.disconnect();
    await clock.pass(120_000);
    expect(network.connections).toHaveLength(1);
    expect(clock.waits).toEqual([]);
  });

  it('gives up on a connection that does not open', async () => {
    const network = fakeNetwork();
    const clock = new FakeClock();
    const client = new Client(network.open, { clock, timeout: 3000, random: () => 0.5 });
    client.connect();
    await clock.pass(3000);
    expect(network.connections[0]?.isClosed).toBe(true);
    expect(client.state).toMatchObject({ status: 'reconnecting', error: { code: 'CONNECTION_FAILED' } });
  });
});

describe('heartbeat', () => {
  it('measures the round trip and asks again an interval after the answer', async () => {
    const { network, client, clock } = connected({ heartbeatInterval: 1000 });
    await clock.pass(42);
    await answer(network.last(), 'client:ping', { server_time: '' });
    expect(client.state.latency).toBe(42);
    await clock.pass(999);
    expect(pings(network.last())).toBe(1);
    await clock.pass(1);
    expect(pings(network.last())).toBe(2);
  });

  it('counts a connection without an answer as lost', async () => {
    const { network, client, clock } = connected({ heartbeatTimeout: 500 });
    await clock.pass(500);
    expect(client.state.status).toBe('reconnecting');
    expect(network.connections[0]?.isClosed).toBe(true);
  });
});

describe('tokens', () => {
  it('are asked for on every connect, and renewed before they run out', async () => {
    const clock = new FakeClock();
    const network = fakeNetwork();
    let issued = 0;
    const getToken = async () => {
      issued += 1;
      return `token ${issued}`;
    };
    const client = new Client(network.open, { clock, getToken, heartbeatTimeout: 1e9 });
    client.connect();
    network.last().listener.opened();
    const expires_at = new Date(clock.now() + 100_000).toISOString();
    await answer(network.last(), 'authenticate', { ...WELCOME, expires_at });
    expect(client.state.isAuthenticated).toBe(true);
    await clock.pass(90_000);
    expect(network.last().sent.at(-1)).toMatchObject({ event: 'authenticate', data: { token: 'token 2' } });
    await answer(network.last(), 'authenticate', WELCOME);
    network.last().listener.closed(1001, '');
    await clock.pass(1000);
    network.last().listener.opened();
    await settle();
    expect(network.last().sent.at(-1)).toMatchObject({ event: 'authenticate', data: { token: 'token 3' } });
  });

  it('that can not be had are tried for again', async () => {
    const clock = new FakeClock();
    const network = fakeNetwork();
    const getToken = () => Promise.reject(new Error('no session'));
    const client = new Client(network.open, { clock, getToken });
    client.connect();
    network.last().listener.opened();
    await settle();
    expect(client.state).toMatchObject({
      status: 'reconnecting',
      error: { code: 'TOKEN_UNAVAILABLE', message: 'no session' },
    });
  });
});

describe('subscriptions', () => {
  it('are asked for again as soon as the server said it may be', async () => {
    const { network, client, clock } = connected({ organizationId: 'o', heartbeatTimeout: 1e9 });
    await answer(network.last(), 'authenticate', WELCOME);
    let rooms: string[] = [];
    void client.subscribe(['kpi']).then((answered) => {
      rooms = answered;
    });
    const limited = { code: 'RATE_LIMIT_EXCEEDED', message: 'too many', retry_after_ms: 70 };
    await answer(network.last(), 'subscribe', { success: false, error: limited });
    await clock.pass(69);
    expect(network.last().sent.filter(({ event }) => event === 'subscribe')).toHaveLength(1);
    await clock.pass(1);
    await answer(network.last(), 'subscribe', { success: true, subscriptions: ['kpi:org:o'] });
    expect(rooms).toEqual(['kpi:org:o']);
  });

  it('wait for the connection, and are refused when there will be none', async () => {
    const { network, client } = connected();
    const waiting = client.subscribe(['kpi']);
    network.last().listener.closed(1008, 'Unauthorized');
    await expect(waiting).rejects.toMatchObject({ code: 'CONNECTION_FAILED', closeCode: 1008 });
  });
});

describe('handlers', () => {
  it('that throw take none of the others with them', () => {
    const { network, client } = connected();
    const got: unknown[] = [];
    const reported: unknown[] = [];
    const before = globalThis.reportError;
    globalThis.reportError = (error) => reported.push(error);
    try {
      client.on('kpi:update', () => {
        throw new Error('mine');
      });
      const off = client.on('kpi:update', (message) => got.push(message.payload));
      network.last().listener.received('kpi:update', 1, {});
      off();
      network.last().listener.received('kpi:update', 2, {});
    } finally {
      globalThis.reportError = before;
    }
    expect(got).toEqual([1]);
    expect(reported).toMatchObject([{ message: 'mine' }, { message: 'mine' }]);
  });
});

it('reads where a payload belongs from ids alone, whatever else it has under their names', () => {
  const place = { organization_id: 'o', queue_name: 'support' };
  for (const queue of [undefined, null, { toString: 1 }, ['support'], true]) expect(isAt(place, { queue })).toBe(true);
  for (const subject of [null, 'text', 7, []]) expect(isAt(place, subject)).toBe(true);
  expect(isAt(place, { organizationId: 'o', queueName: 'support' })).toBe(true);
  expect(isAt(place, { queue_name: 'sales' })).toBe(false);
});

it('knows the channels of events by name', () => {
  expect(channelOf('alert:escalated')).toBe('alerts');
  expect(channelOf('PRODUCT_UPDATED')).toBe('stores');
  expect(channelOf('system:maintenance')).toBeUndefined();
});

function connected(options: ConstructorParameters<typeof Client>[1] = {}) {
  const network = fakeNetwork();
  const clock = new FakeClock();
  const client = new Client(network.open, { clock, ...options });
  client.connect();
  network.last().listener.opened();
  return { network, clock, client };
}

function pings({ sent }: { sent: { event: string }[] }): number {
  return sent.filter(({ event }) => event === 'client:ping').length;
}
