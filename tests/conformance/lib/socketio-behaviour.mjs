import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { receivedSoFar, socketIoClient } from './clients.mjs';
import { startGate } from './gate.mjs';
import { freshOrganization, scenario } from './scenario.mjs';
import { startServer } from './orgcast.mjs';
import { once, within } from './wait.mjs';

/** Everything JSON can say that a server might be tempted to touch. */
export function richPayload(organization_id, queue_name) {
  return {
    organization_id,
    queue_name,
    timestamp: '2024-01-15T10:30:00Z',
    utilization: {
      current_utilization: 82.5,
      by_team: [
        { team: 'Zürich Süd', share: 1e-7 },
        { team: '東京', share: 0 },
      ],
    },
    headcount_gap: -3,
    sla_risk: { level: 'medium', reasons: [] },
    health_score: 85,
    changes: null,
    flags: { stale: false, live: true, none: {} },
    text: 'quotes " \\ / and \n\t lines, nul \u0000, \u2028 and \u2029, café, e\u0301, 👩🏽‍💻, ‏שלום',
    'a key with spaces, ünïcödé and "quotes"': { deep: [[[[{ er: [1, [2, [3]]] }]]]] },
    largest: Number.MAX_SAFE_INTEGER,
    smallest: Number.MIN_VALUE,
    '': 'empty key',
  };
}

export const TRANSPORTS = [
  { transports: undefined, settled: 'websocket', name: 'default transports' },
  { transports: ['websocket'], settled: 'websocket', name: 'websocket only' },
  { transports: ['polling'], settled: 'polling', name: 'polling only' },
];

/** What every Socket.IO client is promised, whatever its major version and its transports. */
export function behavesOverEveryTransport(version, io) {
  for (const setting of TRANSPORTS) {
    describe(`socket.io-client ${version}, ${setting.name}`, () => behaves(io, setting));
  }
}

function behaves(io, { transports, settled }) {
  const options = transports ? { transports } : {};
  let server;

  before(async () => {
    server = await startServer({ rate_limit_messages_per_second: 0 });
  });
  after(() => server?.stop());

  async function connected(t, more = {}) {
    const client = socketIoClient(t, io, more.url ?? server.url, options);
    await client.connect();
    return client;
  }

  async function authenticated(t, organization_id, more) {
    const client = await connected(t, more);
    await authenticate(client, organization_id);
    return client;
  }

  /** Subscribed to the kpi of the queue `support`, and to the markers. */
  async function subscribed(t, organization_id, more) {
    const client = await authenticated(t, organization_id, more);
    await subscribe(client, organization_id);
    return client;
  }

  scenario('authenticates, subscribes and receives a broadcast exactly as it was posted', async (t) => {
    const client = await connected(t);

    const { connection_id, expires_at, pending, ...identity } = await client.call('authenticate', {
      user_id: 'user_123',
      organization_id: 'org_123',
    });
    assert.deepEqual(identity, { success: true, user_id: 'user_123', organization_id: 'org_123' });
    assert.match(connection_id, /^\S+$/);
    assert.notEqual(expires_at, undefined, 'the acknowledgement has no expires_at');
    assert.notEqual(pending, undefined, 'the acknowledgement has no pending');

    const acknowledgement = await client.call('subscribe', {
      channels: ['kpi'],
      organization_id: 'org_123',
      queue_name: 'support',
    });
    assert.deepEqual(acknowledgement, { success: true, subscriptions: ['kpi:org:org_123:queue:support'] });

    const payload = richPayload('org_123', 'support');
    const receipt = await server.broadcast('/kpi', payload);
    assert.equal(receipt.recipients, 1);
    assert.match(receipt.message_id, /^\S+$/);
    assertIsNow(receipt.timestamp);

    const event = await client.inbox.next();
    assert.equal(event.event, 'kpi:update');
    assert.deepEqual(event.payload, payload);
    assert.equal(event.meta.id, receipt.message_id);
    assert.equal(event.meta.channel, 'kpi');
    assert.ok(['low', 'medium', 'high', 'urgent'].includes(event.meta.priority), `priority ${event.meta.priority}`);
    assertIsNow(event.meta.timestamp);
  });

  scenario('is not told the id by which its connection can be polled', async (t) => {
    const client = await connected(t);
    const { connection_id } = await client.call('authenticate', { user_id: 'u', organization_id: freshOrganization() });
    assert.ok(connection_id);
    assert.notEqual(connection_id, client.socket.io.engine.id);
  });

  scenario('receives nothing for another queue or another organization', async (t) => {
    const organization_id = freshOrganization();
    const client = await subscribed(t, organization_id);

    const elsewhere = [
      { organization_id, queue_name: 'sales' },
      { organization_id },
      { organization_id: freshOrganization(), queue_name: 'support' },
      { organization_id: `${organization_id}:queue:support` },
    ];
    for (const target of elsewhere) {
      const { recipients } = await server.broadcast('/kpi', { ...target, health_score: 1 });
      assert.equal(recipients, 0, JSON.stringify(target));
    }

    assert.deepEqual(await receivedSoFar(server, organization_id, client), []);
  });

  scenario('receives nothing more after it unsubscribed', async (t) => {
    const organization_id = freshOrganization();
    const client = await subscribed(t, organization_id);
    const payload = { organization_id, queue_name: 'support', health_score: 1 };
    assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
    assert.deepEqual((await client.inbox.next()).payload, payload);

    const acknowledgement = await client.call('unsubscribe', { channels: ['kpi'], queue_name: 'support' });
    assert.equal(acknowledgement.success, true);
    assert.ok(Array.isArray(acknowledgement.subscriptions));

    assert.equal((await server.broadcast('/kpi', payload)).recipients, 0);
    assert.deepEqual(await receivedSoFar(server, organization_id, client), []);
  });

  scenario('works again after it disconnected and connected', async (t) => {
    const organization_id = freshOrganization();
    const client = await subscribed(t, organization_id);
    client.socket.disconnect();
    await server.counts(organization_id, 0);

    await client.connect();
    const refused = await client.call('subscribe', { channels: ['kpi'] });
    assert.equal(refused.error?.code, 'UNAUTHORIZED', 'the new connection inherited an identity');
    await authenticate(client, organization_id);
    await subscribe(client, organization_id);

    const payload = { organization_id, queue_name: 'support', again: true };
    assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
    assert.deepEqual((await client.inbox.take('kpi:update')).payload, payload);
  });

  scenario('reconnects by itself after the server was restarted, and works again', async (t) => {
    const organization_id = freshOrganization();
    const client = await subscribed(t, organization_id);

    const reconnected = once(client.socket, 'connect', 'the client to reconnect by itself', 30_000);
    await server.restart();
    await reconnected;

    await authenticate(client, organization_id);
    await subscribe(client, organization_id);
    const payload = { organization_id, queue_name: 'support', restarted: true };
    assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
    assert.deepEqual((await client.inbox.take('kpi:update')).payload, payload);
  });

  scenario('is answered with events when it asks for no acknowledgement', async (t) => {
    const organization_id = freshOrganization();
    const client = await connected(t);
    const filter = { channels: ['kpi'], filters: { organization_id, department_id: 'dept 4', queue_name: 'a:b%' } };
    client.send('authenticate', { user_id: 'u', organization_id });
    client.send('client:subscribe', filter);
    client.send('client:ping', { sent: 1 });
    client.send('client:unsubscribe', filter);

    const identity = await client.inbox.next();
    assert.equal(identity.event, 'authenticated');
    assert.equal(identity.payload.success, true);
    assert.equal(identity.payload.organization_id, organization_id);

    const subscription = await client.inbox.next();
    assert.equal(subscription.event, 'client:subscribe');
    assert.deepEqual(subscription.payload, {
      success: true,
      subscriptions: [`kpi:org:${organization_id}:dept:dept 4:queue:a%3Ab%25`],
    });

    const pong = await client.inbox.next();
    assert.equal(pong.event, 'client:pong');
    assertIsNow(pong.payload.server_time);

    const unsubscription = await client.inbox.next();
    assert.equal(unsubscription.event, 'client:unsubscribe');
    assert.equal(unsubscription.payload.success, true);
  });

  scenario('hears of an error both in the acknowledgement and as an event', async (t) => {
    const organization_id = freshOrganization();
    const client = await connected(t);
    await assertRefused(client, 'UNAUTHORIZED', 'subscribe', { channels: ['kpi'], organization_id });

    await authenticate(client, organization_id);
    await assertRefused(client, 'SUBSCRIPTION_FAILED', 'subscribe', { channels: ['no-such-channel'] });
    await assertRefused(client, 'UNAUTHORIZED', 'subscribe', {
      channels: ['kpi'],
      organization_id: freshOrganization(),
    });
    await assertRefused(client, 'INVALID_MESSAGE', 'no:such:event', { any: 'thing' });
  });

  scenario('is refused in a namespace that does not exist', async (t) => {
    const client = socketIoClient(t, io, `${server.url}/no-such-namespace`, options);
    // The 2.x client calls a refused CONNECT an `error`, and hands on the bare text.
    const refused = client.socket.onAny ? 'connect_error' : 'error';
    const heard = once(client.socket, refused, 'the refusal of the namespace');
    client.socket.connect();
    const [error] = await heard;
    assert.equal(client.socket.onAny ? error.message : error, 'Invalid namespace');
  });

  scenario('gets 2000 acknowledgements in order for 2000 events emitted at once', async (t) => {
    const client = await authenticated(t, freshOrganization());
    const answered = [];
    await within(
      new Promise((resolve) => {
        for (let n = 0; n < 2000; n += 1) {
          client.socket.emit('client:ping', { n }, (pong) => {
            answered.push([n, typeof pong.server_time !== 'undefined']);
            if (answered.length === 2000) resolve();
          });
        }
      }),
      () => `2000 acknowledgements; ${answered.length} came`,
      30_000,
    );
    assert.deepEqual(
      answered,
      Array.from({ length: 2000 }, (_, n) => [n, true]),
    );
  });

  scenario('loses nothing that it emits before and in the tick in which it is connected', async (t) => {
    const organization_id = freshOrganization();
    const clients = Array.from({ length: 50 }, () => socketIoClient(t, io, server.url, options));
    const replies = clients.map((client) => {
      const early = client.call('authenticate', { user_id: 'u', organization_id });
      const atOnce = new Promise((resolve, reject) => {
        client.socket.on('connect', () => client.call('client:ping', {}).then(resolve, reject));
      });
      client.socket.connect();
      return Promise.all([early, atOnce]);
    });
    for (const [identity, pong] of await Promise.all(replies)) {
      assert.equal(identity.success, true);
      assertIsNow(pong.server_time);
    }
  });

  if (transports !== undefined) {
    scenario('keeps to its transport', async (t) => {
      const client = await connected(t);
      assert.equal(client.transport, settled);
      await client.call('client:ping', {});
      assert.equal(client.transport, settled);
    });
    return;
  }

  scenario('upgrades from polling, and misses and repeats nothing published before, during and after', async (t) => {
    const organization_id = freshOrganization();
    const gate = await startGate(server);
    t.after(() => gate.close());
    const client = await subscribed(t, organization_id, { url: gate.url });

    let published = 0;
    const publish = async () => {
      const { recipients } = await server.broadcast('/kpi', { organization_id, queue_name: 'support', n: published });
      assert.equal(recipients, 1);
      published += 1;
    };

    await gate.held();
    for (let n = 0; n < 10; n += 1) await publish();
    assert.equal(client.transport, 'polling');

    gate.open();
    const upgraded = once(client.socket.io.engine, 'upgrade', 'the upgrade');
    let during = true;
    upgraded.then(
      () => (during = false),
      () => (during = false),
    );
    while (during) await publish();
    await upgraded;
    assert.equal(client.transport, settled);

    for (let n = 0; n < 10; n += 1) await publish();
    const received = await receivedSoFar(server, organization_id, client);
    assert.deepEqual(
      received.map(({ event, payload }) => [event, payload.n]),
      Array.from({ length: published }, (_, n) => ['kpi:update', n]),
    );
  });
}

async function authenticate(client, organization_id) {
  const { success } = await client.call('authenticate', { user_id: 'user_123', organization_id });
  assert.equal(success, true);
}

async function subscribe(client, organization_id) {
  assert.deepEqual(await client.call('subscribe', { channels: ['kpi'], organization_id, queue_name: 'support' }), {
    success: true,
    subscriptions: [`kpi:org:${organization_id}:queue:support`],
  });
  assert.equal((await client.call('subscribe', { channels: ['attendance'], organization_id })).success, true);
}

/** Sends what must be refused with `code`, and checks that acknowledgement and event tell the same. */
export async function assertRefused(client, code, event, payload) {
  const acknowledgement = await client.call(event, payload);
  assert.equal(acknowledgement.success, false, `${event} ${JSON.stringify(payload)} was accepted`);
  assert.equal(acknowledgement.error.code, code);
  assert.match(acknowledgement.error.message, /\S/);
  const error = await client.inbox.next();
  assert.equal(error.event, 'error');
  assert.deepEqual(error.payload, acknowledgement);
}

/** A time of now, whether as milliseconds or as RFC 3339. */
export function assertIsNow(timestamp) {
  const distance = Math.abs(Date.now() - new Date(timestamp).getTime());
  assert.ok(distance < 60_000, `${JSON.stringify(timestamp)} is not a time of now`);
}
