import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';

import { receivedSoFar, socketIoClient } from '../lib/clients.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { behavesOverEveryTransport } from '../lib/socketio-behaviour.mjs';
import { once } from '../lib/wait.mjs';

behavesOverEveryTransport('4.x', io);

describe('socket.io-client 4.x', () => {
  let server;

  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  /** Authenticated by its handshake; subscribed to the markers and to each of `filters`. */
  async function member(t, organization_id, filters = []) {
    const client = socketIoClient(t, io, server.url, { auth: { user_id: 'user_1', organization_id } });
    await client.connect();
    await client.inbox.take('authenticated');
    for (const filter of [{ channels: ['attendance'] }, ...filters]) {
      assert.equal((await client.call('subscribe', filter)).success, true);
    }
    return client;
  }

  scenario('a handshake identity authenticates without a message', async (t) => {
    const organization_id = freshOrganization();
    const client = socketIoClient(t, io, server.url, { auth: { user_id: 'user_1', organization_id } });
    await client.connect();
    const { event, payload } = await client.inbox.next();
    assert.equal(event, 'authenticated');
    assert.deepEqual([payload.success, payload.user_id, payload.organization_id], [true, 'user_1', organization_id]);
    assert.deepEqual(await client.call('subscribe', { channels: ['kpi'] }), {
      success: true,
      subscriptions: [`kpi:org:${organization_id}`],
    });
  });

  scenario('a handshake identity that is none is a connect_error', async (t) => {
    const client = socketIoClient(t, io, server.url, { auth: { user_id: '', organization_id: 'org_123' } });
    const refused = once(client.socket, 'connect_error');
    client.socket.connect();
    const [error] = await refused;
    assert.ok(error instanceof Error);
    assert.match(error.message, /\S/);
    assert.equal(client.socket.connected, false);
    // A refusal by the server, unlike a failed attempt, is final: the client does not try again.
    assert.equal(client.socket.active, false);
  });

  scenario('an identity cannot be exchanged for another one', async (t) => {
    const organization_id = freshOrganization();
    const client = await member(t, organization_id);
    for (const other of [
      { user_id: 'user_2', organization_id },
      { user_id: 'user_1', organization_id: 'org_other' },
    ]) {
      const { success, error } = await client.call('authenticate', other);
      assert.equal(success, false);
      assert.equal(error.code, 'UNAUTHORIZED');
    }
  });

  scenario("the document's own broadcast reaches every connection of the organization", async (t) => {
    const organization_id = freshOrganization();
    const clients = [await member(t, organization_id), await member(t, organization_id)];
    const stranger = await member(t, freshOrganization());
    const notification = {
      event: 'system:notification',
      data: { message: 'System maintenance in 10 minutes' },
      target: { organization_id },
      priority: 'urgent',
      requires_ack: true,
    };
    assert.equal((await server.broadcast('', notification)).recipients, 2);
    for (const { inbox } of clients) {
      const { event, args, ack } = await inbox.next();
      assert.equal(event, 'system:notification');
      assert.deepEqual(args, [notification.data]);
      assert.equal(typeof ack, 'function');
    }
    assert.equal((await server.broadcast('', { ...notification, requires_ack: false })).recipients, 2);
    for (const { inbox } of clients) {
      const { event, args, ack } = await inbox.next();
      assert.equal(event, 'system:notification');
      const [data, meta, ...more] = args;
      assert.deepEqual([data, meta.priority], [notification.data, 'urgent']);
      assert.deepEqual(more, [meta.offset], 'where it goes on if it is cut off');
      assert.equal(ack, undefined);
    }
    // What was queued for the stranger would arrive before this pong.
    stranger.send('client:ping', {});
    assert.equal((await stranger.inbox.next()).event, 'client:pong');
  });

  scenario('a receipt that waits says how many clients acknowledged', async (t) => {
    const organization_id = freshOrganization();
    const watchesAlerts = [{ channels: ['alerts'] }];
    const data = { rule_name: 'SLA breach', severity: 'critical' };
    const alert = { event: 'alert:triggered', data, target: { organization_id }, requires_ack: true };

    const first = await member(t, organization_id, watchesAlerts);
    first.socket.on('alert:triggered', (payload, ack) => ack('ok'));
    const alone = await server.broadcast('?wait_ms=2000', alert);
    assert.deepEqual([alone.recipients, alone.acks], [1, 1]);
    assert.deepEqual((await first.inbox.next()).payload, data);

    const second = await member(t, organization_id, watchesAlerts);
    second.socket.once('alert:triggered', (payload, ack) => ack('ok'));
    const started = performance.now();
    const together = await server.broadcast('?wait_ms=20000', alert);
    assert.deepEqual([together.recipients, together.acks], [2, 2]);
    assert.ok(performance.now() - started < 10_000, 'the receipt waited on although everyone had acknowledged');

    const oneIsSilent = await server.broadcast('?wait_ms=500', alert);
    assert.deepEqual([oneIsSilent.recipients, oneIsSilent.acks], [2, 1]);
  });

  scenario('an event that asks for no acknowledgement carries none', async (t) => {
    const organization_id = freshOrganization();
    const client = await member(t, organization_id, [{ channels: ['alerts'] }]);
    await server.broadcast('', { event: 'alert:triggered', data: {}, target: { organization_id } });
    assert.equal((await client.inbox.next()).ack, undefined);
  });

  scenario('an alert of the organization reaches those who watch one queue only when it cascades', async (t) => {
    const organization_id = freshOrganization();
    const client = await member(t, organization_id, [{ channels: ['alerts'], queue_name: 'support' }]);
    const alert = (n, more) =>
      server.broadcast('', { event: 'alert:triggered', data: { n }, target: { organization_id }, ...more });

    assert.equal((await alert(1, {})).recipients, 0);
    assert.equal((await alert(2, { cascade: true })).recipients, 1);
    assert.equal((await alert(3, { cascade: false })).recipients, 0);

    const received = await receivedSoFar(server, organization_id, client);
    assert.deepEqual(
      received.map(({ event, payload }) => [event, payload]),
      [['alert:triggered', { n: 2 }]],
    );
  });

  scenario('a connection gets an event once however many of its rooms match', async (t) => {
    const organization_id = freshOrganization();
    const department_id = 'dept_1';
    const queue_name = 'support';
    const client = await member(t, organization_id, [
      { channels: ['kpi', 'all'] },
      { channels: ['kpi', 'all'], department_id },
      { channels: ['kpi'], queue_name },
      { channels: ['kpi', 'all'], department_id, queue_name },
      { channels: ['kpi'] },
    ]);
    const payload = { organization_id, department_id, queue_name, health_score: 1 };
    assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
    const received = await receivedSoFar(server, organization_id, client);
    assert.deepEqual(
      received.map(({ event, payload: body }) => [event, body]),
      [['kpi:update', payload]],
    );
  });

  scenario('a subscription to "all" reaches the events of every channel at its place', async (t) => {
    const organization_id = freshOrganization();
    const client = await member(t, organization_id, [{ channels: ['all'], queue_name: 'support' }]);
    await server.broadcast('/kpi', { organization_id, queue_name: 'support', n: 1 });
    await server.broadcast('/backlog', { organization_id, queue_name: 'support', n: 2 });
    await server.broadcast('/backlog', { organization_id, queue_name: 'sales', n: 3 });
    await server.broadcast('/alert', { organization_id, queue_name: 'support', n: 4 });
    const received = await receivedSoFar(server, organization_id, client);
    assert.deepEqual(
      received.map(({ event, payload, meta }) => [event, meta.channel, payload.n]),
      [
        ['kpi:update', 'kpi', 1],
        ['backlog:update', 'backlog', 2],
        ['alert:triggered', 'alerts', 4],
      ],
    );
  });
});

describe('socket.io-client 4.x and a server with an auth timeout of half a second', () => {
  let server;

  before(async () => {
    server = await startServer({ auth_timeout_ms: 500 });
  });
  after(() => server?.stop());

  scenario('a connection that does not authenticate in time is disconnected, one that does stays', async (t) => {
    const authenticated = socketIoClient(t, io, server.url);
    await authenticated.connect();
    const { success } = await authenticated.call('authenticate', { user_id: 'u', organization_id: 'org_123' });
    assert.equal(success, true);

    const silent = socketIoClient(t, io, server.url, { reconnection: false });
    // Listened for from the start, so that a disconnect cannot be missed.
    const disconnected = once(silent.socket, 'disconnect', 'the silent connection to be disconnected');
    await silent.connect();
    await disconnected;
    assert.equal(silent.socket.connected, false);

    const pong = await authenticated.call('client:ping', {});
    assert.ok(pong.server_time);
    assert.equal(authenticated.socket.connected, true);
  });
});
