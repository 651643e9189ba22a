import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newOrganization, TestServer, until } from '../../testkit/server.js';
import type { Channel, Client, ClientOptions, EventName, Message, OrgcastError } from '../src/index.js';
import { closeClients, KINDS, makeClient } from './lib/clients.js';

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
afterEach(closeClients);

describe.each(KINDS)('a client over %s', (kind) => {
  function client(options: ClientOptions = {}): Client {
    return makeClient(kind, { url: server.url, userId: 'u', ...options });
  }

  async function live(options: ClientOptions = {}): Promise<Client> {
    const made = client(options);
    made.connect();
    await until(() => made.state.isLive, 'the client to be live');
    return made;
  }

  /** What a handler has got so far. */
  function record(made: Client, event: EventName): unknown[] {
    const got: unknown[] = [];
    made.on(event, (message) => got.push(message.payload));
    return got;
  }

  it('goes from disconnected over connecting to connected and authenticated', async () => {
    const organizationId = newOrganization();
    const made = client({ organizationId });
    const seen: string[] = [made.state.status];
    made.watch(() => {
      if (seen.at(-1) !== made.state.status) seen.push(made.state.status);
    });
    const authenticated = new Promise((resolve) => made.when('authenticated', resolve));
    made.connect();
    expect(await authenticated).toMatchObject({ userId: 'u', organizationId });
    expect(seen).toEqual(['disconnected', 'connecting', 'connected']);
    const [connection] = await server.connections(organizationId);
    expect(connection?.socket_id).toBe(made.state.connectionId);
    await until(() => made.state.latency !== null, 'a latency');
    expect(made.state.transport).toBe(connection?.transport);
    made.disconnect();
    expect(made.state).toMatchObject({ status: 'disconnected', isConnected: false, isAuthenticated: false });
    await until(async () => (await server.connections(organizationId)).length === 0, 'the server to notice');
  });

  it('gives a handler the payload with its envelope', async () => {
    const organizationId = newOrganization();
    const made = await live({ organizationId });
    const got = new Promise<Message<'kpi:update'>>((resolve) => made.on('kpi:update', resolve));
    await until(async () => (await server.connections(organizationId))[0]?.subscriptions.length, 'the subscription');
    const payload = { organization_id: organizationId, health_score: 85, text: 'Zürich 🔔' };
    const receipt = await server.broadcast('/kpi', payload);
    expect(await got).toMatchObject({
      id: receipt.message_id,
      type: 'kpi:update',
      event: 'kpi:update',
      payload,
      data: payload,
      channel: 'kpi',
      priority: 'medium',
      companyId: organizationId,
      tenant_id: organizationId,
    });
  });

  it('makes one server subscription of two equal ones, and ends it with the second', async () => {
    const organizationId = newOrganization();
    const made = await live({ organizationId });
    const before = await messages('client:subscribe');
    const rooms = await made.subscribe(['kpi', 'alerts'], { queueName: 'support' });
    expect(rooms).toEqual([`kpi:org:${organizationId}:queue:support`, `alerts:org:${organizationId}:queue:support`]);
    expect(await made.subscribe(['kpi'], { queue_name: 'support' })).toEqual(rooms.slice(0, 1));
    expect((await messages('client:subscribe')) - before).toBe(1);

    await made.unsubscribe(['kpi', 'alerts'], { queue_name: 'support' });
    expect((await server.connections(organizationId))[0]?.subscriptions).toEqual(rooms.slice(0, 1));
    await made.unsubscribe(['kpi'], { queue_name: 'support' });
    expect((await server.connections(organizationId))[0]?.subscriptions).toEqual([]);
  });

  it('tells the server nothing of what is let go and taken up again at once', async () => {
    const organizationId = newOrganization();
    const made = await live({ organizationId });
    const release = made.hold('kpi');
    await until(async () => (await server.connections(organizationId))[0]?.subscriptions.length, 'the subscription');
    const before = [await messages('client:subscribe'), await messages('client:unsubscribe')];
    release();
    const again = made.hold('kpi');
    release();
    await made.subscribe('backlog');
    expect([await messages('client:subscribe'), await messages('client:unsubscribe')]).toEqual([
      (before[0] ?? 0) + 1,
      before[1],
    ]);
    again();
    await until(async () => (await server.connections(organizationId))[0]?.subscriptions.length === 1, 'one room');
  });

  it('hears only the part of a channel that was subscribed to, once something was', async () => {
    const organizationId = newOrganization();
    const made = await live({ organizationId });
    const got = record(made, 'kpi:update');
    await made.subscribe(['kpi'], { queue_name: 'support' });
    await until(
      async () => (await server.connections(organizationId))[0]?.subscriptions.length === 1,
      'the handler to give up its own subscription',
    );
    await server.broadcast('/kpi', { organization_id: organizationId, queue_name: 'sales', n: 1 });
    await server.broadcast('/kpi', { organization_id: organizationId, queue_name: 'support', n: 2 });
    await until(() => got.length > 0, 'the event');
    expect(got).toMatchObject([{ n: 2 }]);
  });

  it('reports a refused subscription by its code and keeps the others', async () => {
    const made = await live({ organizationId: newOrganization() });
    const refused = made.subscribe(['no-such-channel' as Channel]);
    const accepted = made.subscribe(['kpi']);
    await expect(refused).rejects.toMatchObject({ name: 'OrgcastError', code: 'SUBSCRIPTION_FAILED' });
    expect(await accepted).toHaveLength(1);
    await expect(made.subscribe(['kpi'], { organization_id: 'another' })).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
    expect(made.state.isLive).toBe(true);
  });

  it('reports an unknown message once, with its code', async () => {
    const made = await live({ organizationId: newOrganization() });
    const errors: OrgcastError[] = [];
    made.when('error', (error) => errors.push(error));
    await expect(made.send('custom_action', { a: 1 })).rejects.toMatchObject({ code: 'INVALID_MESSAGE' });
    await made.send('client:ping');
    expect(errors).toEqual([]);
  });

  it('comes back after the server restarts, with its subscriptions and without being asked', async () => {
    const own = await TestServer.start();
    try {
      const organizationId = newOrganization();
      const made = await live({ url: own.url, organizationId });
      const got = record(made, 'alert:triggered');
      await made.subscribe(['kpi'], { department_id: 'd', queue_name: 'q' });
      const wanted = (await own.connections(organizationId))[0]?.subscriptions;
      expect(wanted).toHaveLength(2);
      const seen: string[] = [made.state.status];
      made.watch(() => {
        if (seen.at(-1) !== made.state.status) seen.push(made.state.status);
      });
      let reconnects = 0;
      made.when('reconnect', () => {
        reconnects += 1;
      });
      await own.restart();
      await until(() => reconnects === 1, 'the client to be back');
      expect(seen).toEqual(['connected', 'reconnecting', 'connected']);
      expect((await own.connections(organizationId))[0]?.subscriptions).toEqual(wanted);
      await own.broadcast('/alert', { organization_id: organizationId, rule_name: 'r' });
      await until(() => got.length > 0, 'the alert');
      expect(got).toMatchObject([{ rule_name: 'r' }]);
    } finally {
      closeClients();
      await own.stop();
    }
  });

  it('comes back after the server is killed without a word', async () => {
    const own = await TestServer.start();
    try {
      const made = await live({ url: own.url, organizationId: newOrganization(), heartbeatInterval: 50 });
      await own.stop('SIGKILL');
      await until(() => made.state.status === 'reconnecting', 'the loss to be noticed');
      expect(made.state.error?.code).toBe('CONNECTION_FAILED');
      await own.start();
      await until(() => made.state.isLive, 'the client to be back');
    } finally {
      closeClients();
      await own.stop();
    }
  });

  it('gives up after as many failed attempts as it was allowed, and goes on when told', async () => {
    const own = await TestServer.start();
    await own.stop();
    const made = client({ url: own.url, organizationId: newOrganization(), maxReconnectAttempts: 2 });
    made.connect();
    await until(() => made.state.status === 'error', 'the client to give up');
    expect(made.state).toMatchObject({ reconnectAttempts: 2, error: { code: 'CONNECTION_FAILED' } });
    await own.start();
    made.reconnect();
    await until(() => made.state.isLive, 'the client to be live');
    closeClients();
    await own.stop();
  });

  it('does not come back after a refusal', async () => {
    const made = client({ userId: 'x'.repeat(200), organizationId: newOrganization() });
    made.connect();
    await until(() => made.state.status === 'error', 'the refusal');
    expect(['INVALID_MESSAGE', 'AUTH_FAILED']).toContain(made.state.error?.code);
    expect(made.state.reconnectAttempts).toBe(0);
    await made.authenticate({ userId: 'short', organizationId: newOrganization() });
    expect(made.state).toMatchObject({ status: 'connected', isAuthenticated: true, error: null });
  });

  it('does not come back when it was closed because nobody authenticated', async () => {
    const own = await TestServer.start('--auth-timeout-ms', '2000');
    try {
      const made = makeClient(kind, { url: own.url });
      const closes: number[] = [];
      made.when('disconnect', ({ code }) => closes.push(code));
      made.connect();
      await until(() => made.state.status === 'error', 'the refusal');
      expect(closes).toEqual([1008]);
    } finally {
      closeClients();
      await own.stop();
    }
  });

  it('waits and tries again when the organization has no room, and gets in when it has', async () => {
    const own = await TestServer.start('--max-connections-per-org', '1');
    try {
      const organizationId = newOrganization();
      const first = await live({ url: own.url, organizationId });
      const second = client({ url: own.url, organizationId });
      second.connect();
      await until(() => second.state.reconnectAttempts > 1, 'two attempts');
      expect(second.state.error?.code).toBe('CONNECTION_LIMIT');
      first.disconnect();
      await until(() => second.state.isLive, 'the second to get in');
    } finally {
      closeClients();
      await own.stop();
    }
  });

  it('waits and tries again when the server has no room, and gets in when it has', async () => {
    const own = await TestServer.start('--max-connections-total', '1');
    try {
      const first = await live({ url: own.url, organizationId: newOrganization() });
      const second = client({ url: own.url, organizationId: newOrganization() });
      second.connect();
      await until(() => second.state.reconnectAttempts > 1, 'two attempts');
      // Of an upgrade that is refused a WebSocket says no more than that.
      const isTold = kind !== 'plain WebSocket';
      expect(second.state.error?.code).toBe(isTold ? 'CONNECTION_LIMIT' : 'CONNECTION_FAILED');
      first.disconnect();
      await until(() => second.state.isLive, 'the second to get in');
    } finally {
      closeClients();
      await own.stop();
    }
  });

  it('does not come back when the handshake is refused for good, and says why', async () => {
    const made = makeClient(kind, { url: `${server.url}?token=nonsense` });
    const codes: string[] = [];
    made.when('error', ({ code }) => codes.push(code));
    made.connect();
    await until(() => made.state.status === 'error', 'the refusal');
    expect(codes).toContain('AUTH_FAILED');
    expect(made.state.reconnectAttempts).toBe(0);
  });

  it('asks for a token on every connect', async () => {
    const asked: number[] = [];
    const made = makeClient(kind, {
      url: server.url,
      getToken: () => {
        asked.push(asked.length);
        return 'not-a-token';
      },
    });
    made.connect();
    await until(() => made.state.status === 'error', 'the refusal');
    expect(made.state.error?.code).toBe('AUTH_FAILED');
    // The first refusal may be one of a token that ran out.
    expect(asked).toEqual([0, 1]);
  });

  it('connects anew as another person, and keeps what it listens to', async () => {
    const [one, other] = [newOrganization(), newOrganization()];
    const made = await live({ organizationId: one });
    const got = record(made, 'backlog:update');
    made.configure({ userId: 'v', organizationId: other });
    await until(() => made.state.isLive, 'the client to be live again');
    expect(await server.connections(one)).toEqual([]);
    expect((await server.connections(other))[0]?.user_id).toBe('v');
    await server.broadcast('/backlog', { organization_id: other, total_items: 4 });
    await until(() => got.length > 0, 'the event');
  });

  it('acknowledges what wants to be acknowledged', async () => {
    const organizationId = newOrganization();
    const made = await live({ organizationId });
    const got: Message[] = [];
    made.on('system:notification', (message) => got.push(message));
    const receipt = await server.post('/api/ws/broadcast?wait_ms=30000', {
      event: 'system:notification',
      data: { message: 'hello' },
      target: { organization_id: organizationId },
      requires_ack: true,
    });
    expect(receipt).toMatchObject({ recipients: 1, acks: 1 });
    // With everything that belongs to it.
    expect(got).toMatchObject([{ payload: { message: 'hello' }, id: receipt.message_id, channel: null }]);
  });

  async function messages(event: string): Promise<number> {
    const { stats } = (await server.get('/api/ws/stats')) as { stats: { messages_by_event: Record<string, number> } };
    return stats.messages_by_event[event] ?? 0;
  }
});
