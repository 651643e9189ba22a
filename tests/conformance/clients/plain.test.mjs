import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe } from 'node:test';

import WebSocket from 'ws';

import { ENVELOPES, plainClient, receivedSoFar } from '../lib/clients.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { assertIsNow, richPayload } from '../lib/socketio-behaviour.mjs';
import { once, within } from '../lib/wait.mjs';

const MAX_MESSAGE_BYTES = 20_000;

let server;

before(async () => {
  server = await startServer({ rate_limit_messages_per_second: 0, max_message_size_bytes: MAX_MESSAGE_BYTES });
});
after(() => server?.stop());

for (const envelope of Object.keys(ENVELOPES)) {
  describe(`the envelope ${envelope}`, () => {
    scenario('is answered to a client whose first message is in it', async (t) => {
      const client = await plainClient(t, server, { envelope });
      client.send('ping', {});
      const pong = await client.inbox.next();
      assert.equal(pong.event, 'pong');
      assertEnvelope(pong.frame, envelope);

      client.send('client:ping', { any: 'thing' });
      const clientPong = await client.inbox.next();
      assert.equal(clientPong.event, 'client:pong');
      assertEnvelope(clientPong.frame, envelope);
      assertIsNow(clientPong.payload.server_time);

      // Before it has said who it is, nothing that it sends comes back.
      assert.equal(clientPong.payload.data, undefined);
      assert.deepEqual(await beat(client), { clientTime: null });

      await client.call('authenticate', { user_id: 'u', organization_id: freshOrganization() });
      assert.deepEqual(await beat(client), { clientTime: 1_700_000_000_123 });
      client.send('client:ping', { any: 'thing' });
      assert.deepEqual((await client.inbox.next()).payload.data, { any: 'thing' });

      async function beat({ inbox, send }) {
        send('heartbeat', { clientTime: 1_700_000_000_123 });
        const heartbeat = await inbox.next();
        assert.equal(heartbeat.event, 'heartbeat');
        assertEnvelope(heartbeat.frame, envelope);
        const { serverTime, ...rest } = heartbeat.payload;
        assertIsNow(serverTime);
        return rest;
      }
    });

    scenario('carries authentication, subscription and a broadcast exactly as it was posted', async (t) => {
      const organization_id = freshOrganization();
      const client = await plainClient(t, server, { envelope });

      const identity = await client.request('authenticate', { user_id: 'user_123', organization_id });
      assert.equal(identity.event, 'authenticated');
      assertEnvelope(identity.frame, envelope);
      const { connection_id, expires_at, pending, ...rest } = identity.payload;
      assert.deepEqual(rest, { success: true, user_id: 'user_123', organization_id });
      assert.match(connection_id, /^\S+$/);
      assert.notEqual(expires_at, undefined);
      assert.notEqual(pending, undefined);

      const filter = { channels: ['kpi'], organization_id, queue_name: 'support' };
      const subscription = await client.request('subscribe', filter);
      assert.equal(subscription.event, 'client:subscribe');
      assertEnvelope(subscription.frame, envelope);
      const rooms = [`kpi:org:${organization_id}:queue:support`];
      assert.deepEqual(subscription.payload, { success: true, subscriptions: rooms });

      const payload = richPayload(organization_id, 'support');
      assert.equal((await server.broadcast('/kpi', payload)).recipients, 1);
      const event = await client.inbox.next();
      assert.equal(event.event, 'kpi:update');
      assertEnvelope(event.frame, envelope);
      assert.deepEqual(event.payload, payload);

      const unsubscription = await client.request('unsubscribe', filter);
      assert.equal(unsubscription.event, 'client:unsubscribe');
      assert.equal(unsubscription.payload.success, true);
      assert.equal((await server.broadcast('/kpi', payload)).recipients, 0);
      client.send('ping', {});
      assert.equal((await client.inbox.next()).event, 'pong');
    });

    scenario('carries the refusal of what is no message, and the connection lives', async (t) => {
      const client = await plainClient(t, server, { envelope, query: `?userId=u&companyId=${freshOrganization()}` });
      // The first message decides the envelope, so it has to be one.
      client.send('ping', {});
      await client.inbox.take('pong');

      const { name, data } = ENVELOPES[envelope];
      const refused = [
        Buffer.from(JSON.stringify({ [name]: 'ping' })),
        `{"${name}":"ping"`,
        '"ping"',
        JSON.stringify({ [name]: 7, [data]: {} }),
        JSON.stringify({ [name]: 'no:such:event', [data]: {} }),
        JSON.stringify({ [name]: 'subscribe', [data]: { channels: [7] } }),
        JSON.stringify({ [name]: 'subscribe', [data]: { channels: ['kpi'], queue_name: 'q'.repeat(129) } }),
      ];
      for (const frame of refused) {
        client.raw(frame);
        const error = await client.inbox.next();
        assert.equal(error.event, 'error', `${frame} was accepted`);
        assertEnvelope(error.frame, envelope);
        assert.equal(error.payload.success, false);
        assert.equal(error.payload.error.code, 'INVALID_MESSAGE', String(frame));
        assert.match(error.payload.error.message, /\S/);

        client.send('ping', {});
        assert.equal((await client.inbox.next()).event, 'pong');
      }
    });

    scenario('can be asked for in the URL, before any message', async (t) => {
      const client = await plainClient(t, server, { envelope, query: `?envelope=${envelope}` });
      client.raw('not JSON');
      const error = await client.inbox.next();
      assert.equal(error.event, 'error');
      assertEnvelope(error.frame, envelope);
      assert.equal(error.payload.error.code, 'INVALID_MESSAGE');
    });

    scenario('echoes the id of a request on its reply, also when that is an error', async (t) => {
      const client = await plainClient(t, server, { envelope });
      for (const [event, reply] of [
        ['ping', 'pong'],
        ['client:ping', 'client:pong'],
        ['subscribe', 'error'],
        ['no:such:event', 'error'],
      ]) {
        const id = randomUUID();
        client.send(event, { channels: ['kpi'] }, { id });
        const answer = await client.inbox.next();
        assert.equal(answer.event, reply);
        assert.equal(answer.frame.id, id);
      }
    });
  });
}

describe('a plain client', () => {
  const namings = [
    ['userId', 'companyId'],
    ['user_id', 'organization_id'],
    ['userId', 'organizationId'],
    ['user_id', 'org_id'],
    ['sub', 'tenant_id'],
    ['userId', 'tenantId'],
    ['userId', 'storeId'],
  ];
  for (const [user, organization] of namings) {
    scenario(`is authenticated by ?${user}=&${organization}=`, async (t) => {
      const organization_id = freshOrganization();
      const client = await plainClient(t, server, { query: `?${user}=user_1&${organization}=${organization_id}` });
      const identity = await client.inbox.next();
      assert.equal(identity.event, 'authenticated');
      assert.equal(identity.payload.user_id, 'user_1');
      assert.equal(identity.payload.organization_id, organization_id);
      assert.deepEqual(await client.call('subscribe', { channels: ['kpi'] }), {
        success: true,
        subscriptions: [`kpi:org:${organization_id}`],
      });
      await server.broadcast('/kpi', { organization_id, health_score: 85 });
      const { event, payload } = await client.inbox.next();
      assert.deepEqual([event, payload], ['kpi:update', { organization_id, health_score: 85 }]);
    });
  }

  scenario('is authenticated by ?userId=&companyId= with percent-encoded ids', async (t) => {
    const organization_id = `${freshOrganization()}/ä:%&`;
    const query = `?userId=user%201&companyId=${encodeURIComponent(organization_id)}`;
    const client = await plainClient(t, server, { query });
    const encoded = organization_id.replaceAll('%', '%25').replaceAll(':', '%3A');
    assert.deepEqual(await client.call('subscribe', { channels: ['kpi'] }), {
      success: true,
      subscriptions: [`kpi:org:${encoded}`],
    });
  });

  scenario('must authenticate before it subscribes', async (t) => {
    const client = await plainClient(t, server);
    const reply = await client.request('subscribe', { channels: ['kpi'], organization_id: freshOrganization() });
    assert.equal(reply.event, 'error');
    assert.equal(reply.payload.error.code, 'UNAUTHORIZED');
  });

  scenario('receives nothing for another queue or another organization', async (t) => {
    const organization_id = freshOrganization();
    const client = await plainClient(t, server, { query: `?userId=u&companyId=${organization_id}` });
    await client.call('subscribe', { channels: ['kpi'], queue_name: 'support' });
    await client.call('subscribe', { channels: ['attendance'] });
    await server.broadcast('/kpi', { organization_id, queue_name: 'sales' });
    await server.broadcast('/kpi', { organization_id: freshOrganization(), queue_name: 'support' });
    assert.deepEqual(await receivedSoFar(server, organization_id, client), []);
  });

  scenario('gets a number with more digits than a double holds as the backend wrote it', async (t) => {
    const organization_id = freshOrganization();
    const client = await plainClient(t, server, { query: `?userId=u&companyId=${organization_id}` });
    await client.call('subscribe', { channels: ['kpi'] });
    await server.broadcast('/kpi', `{"organization_id":"${organization_id}","ticket":12345678901234567890}`);
    const { text } = await client.inbox.next();
    assert.match(text, /"ticket":\s*12345678901234567890\b/);
  });

  scenario('may use an id of 128 bytes', async (t) => {
    const client = await plainClient(t, server, { query: `?userId=u&companyId=${freshOrganization()}` });
    const reply = await client.request('subscribe', { channels: ['kpi'], queue_name: 'ü'.repeat(64) });
    assert.equal(reply.payload.success, true);
  });

  scenario('is closed with 1009 when it sends more than the limit', async (t) => {
    const client = await plainClient(t, server);
    client.send('client:ping', { filler: 'x'.repeat(MAX_MESSAGE_BYTES) });
    assert.equal((await within(client.closed, 'the close')).code, 1009);
  });

  scenario('is closed with 1008 Unauthorized when its token is none', async (t) => {
    const client = await plainClient(t, server, { query: '?token=not-a-token' });
    assert.deepEqual(await within(client.closed, 'the close'), { code: 1008, reason: 'Unauthorized' });
  });

  scenario('is closed with 1001 when the server goes away', async (t) => {
    const leaving = await startServer();
    const clients = [];
    try {
      clients.push(await plainClient(t, leaving), await plainClient(t, leaving, { query: '?userId=u&companyId=c' }));
      for (const client of clients) {
        client.send('ping', {});
        await client.inbox.take('pong');
      }
    } finally {
      await leaving.stop();
    }
    for (const client of clients) assert.equal((await within(client.closed, 'the close')).code, 1001);
  });
});

describe('a plain client of an impatient server', () => {
  let impatient;

  before(async () => {
    impatient = await startServer({ auth_timeout_ms: 500, ping_interval_ms: 200, ping_timeout_ms: 400 });
  });
  after(() => impatient?.stop());

  scenario('is closed with 1008 when it does not authenticate in time', async (t) => {
    const client = await plainClient(t, impatient);
    assert.equal((await within(client.closed, 'the close')).code, 1008);
  });

  scenario('is pinged again and again', async (t) => {
    const client = await plainClient(t, impatient, { query: '?userId=u&companyId=c' });
    for (let n = 0; n < 3; n += 1) await once(client.socket, 'ping');
  });

  scenario('is dropped when it does not answer pings', async (t) => {
    const dead = new WebSocket(`${impatient.wsUrl}/ws?userId=u&companyId=c`, { autoPong: false });
    t.after(() => dead.terminate());
    // How the socket ends, reset or closed, is the operating system's choice.
    dead.on('error', () => {});
    await once(dead, 'close', 'the dead connection to be dropped');
  });
});

/** The frame is in `envelope` and no other, and has its time. */
function assertEnvelope(frame, envelope) {
  const { name, data } = ENVELOPES[envelope];
  assert.equal(typeof frame[name], 'string', JSON.stringify(frame));
  assert.equal(frame[name === 'event' ? 'type' : 'event'], undefined, `two names in ${JSON.stringify(frame)}`);
  assert.equal(frame[data === 'data' ? 'payload' : 'data'], undefined, `two payloads in ${JSON.stringify(frame)}`);
  assertIsNow(frame.timestamp);
}
