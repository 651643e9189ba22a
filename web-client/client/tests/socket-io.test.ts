/** What Socket.IO's client tells its transport: of servers of today and of those to come. */
import type { io } from 'socket.io-client';
import { describe, expect, it } from 'vitest';

import { Client, type ClientOptions, type Message, type OrgcastError, socketIoTransport } from '../src/index.js';
import { FakeClock, settle } from './lib/fake.js';

/** A `socket.io-client` whose server is the test. */
class FakeIo {
  options: Record<string, unknown> = {};
  url = '';
  connected = true;
  io = { engine: { transport: { name: 'websocket' }, on: () => {} } };
  #handlers = new Map<string, (...values: unknown[]) => void>();

  connect = ((url: string, options: Record<string, unknown>) => {
    Object.assign(this, { url, options });
    return this;
  }) as unknown as typeof io;

  on(event: string, handler: (...values: unknown[]) => void): void {
    this.#handlers.set(event, handler);
  }

  onAny(handler: (...values: unknown[]) => void): void {
    this.#handlers.set('*', handler);
  }

  emit(event: string, _data: unknown, answer: (reply: unknown) => void): void {
    const reply = { success: true, connection_id: 'c', user_id: 'u', organization_id: 'o', expires_at: null };
    queueMicrotask(() => answer(event === 'subscribe' ? { success: true, subscriptions: ['r'] } : reply));
  }

  disconnect(): void {}

  happens(event: string, ...values: unknown[]): void {
    this.#handlers.get(event)?.(...values);
  }

  /** The server sends an event with these arguments. */
  sends(event: string, ...values: unknown[]): void {
    this.happens('*', event, ...values);
  }
}

function connecting(options: ClientOptions = {}) {
  const fake = new FakeIo();
  const clock = new FakeClock();
  const open = socketIoTransport({ io: fake.connect });
  const client = new Client(open, { clock, url: 'http://server', warn: false, random: () => 0, ...options });
  client.connect();
  return { fake, clock, client };
}

async function live() {
  const all = connecting({ userId: 'u', organizationId: 'o' });
  all.fake.happens('connect');
  await settle();
  return all;
}

it('asks for everything beside the payload, beside what the URL asks for', () => {
  const { fake } = connecting({ url: 'http://server/ws?tenant=a&arguments=payload' });
  expect(fake.options).toMatchObject({ path: '/ws', query: { tenant: 'a', arguments: 'all' } });
});

describe('an event', () => {
  const META = { id: 'm1', channel: 'kpi', timestamp: '2026-01-01T00:00:00Z', priority: 'high' };
  const OFFSET = 'e7k2-1a2b';

  it.each([
    ['alone', []],
    ['with what belongs to it', [META]],
    ['with what belongs to it and an offset', [META, OFFSET]],
    ['with an offset alone', [OFFSET]],
  ])('%s is handled', async (_, more) => {
    const { fake, client } = await live();
    const got: Message[] = [];
    client.on('kpi:update', (message) => got.push(message));
    fake.sends('kpi:update', { health_score: 1 }, ...more);
    expect(got).toMatchObject([{ payload: { health_score: 1 }, ...(more.includes(META) ? META : { id: '' }) }]);
  });

  it.each([
    ['alone', []],
    ['with what belongs to it', [META]],
  ])('that asks for an acknowledgement, %s, gets one after its handlers', async (_, more) => {
    const { fake, client } = await live();
    const order: string[] = [];
    client.on('kpi:update', ({ id }) => order.push(`handled ${id}`));
    fake.sends('kpi:update', { health_score: 1 }, ...more, () => order.push('acknowledged'));
    expect(order).toEqual([`handled ${more.length > 0 ? 'm1' : ''}`, 'acknowledged']);
  });
});

describe('a refusal', () => {
  const refused = (error: object) => {
    const all = connecting({ userId: 'u', organizationId: 'o' });
    const errors: OrgcastError[] = [];
    all.client.when('error', (it) => errors.push(it));
    all.fake.happens('connect_error', Object.assign(new Error('refused'), error));
    return { ...all, errors };
  };

  it('says in its data what it is, and is final where the server does not say when to come back', () => {
    const data = { code: 'AUTH_FAILED', message: 'the token has expired', reason: 'token_expired' };
    const { client, errors } = refused({ data });
    expect(client.state.status).toBe('error');
    expect(errors).toMatchObject([data]);
  });

  it('is waited for as long as the server says', async () => {
    const data = { code: 'RATE_LIMIT_EXCEEDED', message: 'too many', retry_after_ms: 4500 };
    const { client, clock } = refused({ data });
    expect(client.state).toMatchObject({
      status: 'reconnecting',
      error: { code: 'RATE_LIMIT_EXCEEDED', message: 'too many', retryAfterMs: 4500 },
    });
    expect(clock.waits).toEqual([4500]);
  });

  it('of a server that says it in its message alone is understood', () => {
    const { client } = refused({ message: 'UNAUTHORIZED: another organization' });
    expect(client.state).toMatchObject({
      status: 'error',
      error: { code: 'UNAUTHORIZED', message: 'another organization' },
    });
    const full = refused({ message: 'CONNECTION_LIMIT: the server is full' });
    expect(full.client.state).toMatchObject({ status: 'reconnecting', error: { code: 'CONNECTION_LIMIT' } });
  });

  it('in the body of an answer is understood', () => {
    const body = { success: false, error: { code: 'CONNECTION_LIMIT', message: 'full', retry_after_ms: 2000 } };
    const { client, clock } = refused({
      message: 'xhr poll error',
      description: 503,
      context: { responseText: JSON.stringify(body) },
    });
    expect(client.state).toMatchObject({
      status: 'reconnecting',
      error: { code: 'CONNECTION_LIMIT', message: 'full' },
    });
    expect(clock.waits).toEqual([2000]);
  });

  it('by status alone is waited for, and by the network too', () => {
    const full = refused({ message: 'xhr poll error', description: 503, context: { responseText: '<html>' } });
    expect(full.client.state).toMatchObject({ status: 'reconnecting', error: { code: 'CONNECTION_FAILED' } });
    expect(full.clock.waits).toEqual([1000]);
    const away = refused({ message: 'xhr poll error', description: 0 });
    expect(away.client.state.status).toBe('reconnecting');
    expect(away.clock.waits).toEqual([0]);
  });
});
