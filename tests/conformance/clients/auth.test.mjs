import assert from 'node:assert/strict';
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';
import io2 from 'socket.io-client-2';

import { socketIoClient } from '../lib/clients.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { once, until, within } from '../lib/wait.mjs';

const SECRET = 'the secret of the client tests, of a sufficient length';
const KEY = 'ock_the_key_of_the_client_tests';
const HASH = `sha256:${createHash('sha256').update(KEY).digest('hex')}`;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token as a backend makes it; `lifetime` is in seconds. */
function token(organization_id, { lifetime = 600, secret = SECRET, ...more } = {}) {
  const now = Date.now() / 1000;
  const claims = { sub: 'user_1', organization_id, iat: now, exp: now + lifetime, ...more };
  const message = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
}

describe('tokens', () => {
  let server;

  before(async () => {
    server = await startServer({
      'auth.jwt_secret': SECRET,
      'auth.expiry_warning_ms': 1500,
      api_keys: `{ test = { hash = "${HASH}", operator = true, scopes = ["broadcast", "read", "admin"] } }`,
    });
  });
  after(() => server?.stop());

  async function post(route, body) {
    const response = await fetch(server.url + route, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY, Connection: 'close' },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify(answer));
    return answer;
  }

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    const over = transports.join(' and ');

    scenario(`a refused handshake is a connect_error with the code, over ${over}`, async (t) => {
      const organization_id = freshOrganization();
      const refused = {
        expired: token(organization_id, { lifetime: -60 }),
        forged: token(organization_id, { secret: 'another secret, which is just as long' }),
        unsigned: `${encode({ alg: 'none' })}.${encode({ sub: 'user_1', organization_id })}.`,
        'without an organization': token(undefined),
        'no token': 'hello',
      };
      for (const [what, bad] of Object.entries(refused)) {
        const client = socketIoClient(t, io, server.url, { transports, auth: { token: bad } });
        const heard = once(client.socket, 'connect_error');
        client.socket.connect();
        const [error] = await heard;
        assert.match(error.message, /^AUTH_FAILED: /, what);
        assert.equal(error.data.code, 'AUTH_FAILED', what);
        assert.match(error.data.reason, /^[a-z]+(_[a-z]+)+$/, what);
        assert.equal(client.socket.connected, false);
        assert.equal(client.socket.active, false, 'the client does not try again by itself');
      }
      const asserted = { user_id: 'user_1', organization_id };
      const client = socketIoClient(t, io, server.url, { transports, auth: asserted });
      const heard = once(client.socket, 'connect_error');
      client.socket.connect();
      assert.match((await heard)[0].message, /^AUTH_FAILED: a token is needed/);
    });

    scenario(`a refreshed connection misses nothing, over ${over}`, async (t) => {
      const organization_id = freshOrganization();
      const auth = { token: token(organization_id, { lifetime: 3 }) };
      const client = socketIoClient(t, io, server.url, { transports, auth });
      await client.connect();
      assert.equal((await client.call('subscribe', { channels: ['kpi'] })).success, true);

      const heard = [];
      client.socket.on('kpi:update', ({ n }) => heard.push(n));
      let renewals = 0;
      client.socket.on('auth:expiring', async ({ expires_in_ms }) => {
        assert.ok(expires_in_ms > 0 && expires_in_ms <= 1500, `${expires_in_ms}`);
        const fresh = token(organization_id, { lifetime: renewals === 0 ? 3 : 600 });
        assert.equal((await client.call('authenticate', { token: fresh })).success, true);
        renewals += 1;
      });
      let sent = 0;
      await until(async () => {
        await post('/api/ws/broadcast/kpi', { organization_id, n: sent });
        sent += 1;
        return renewals === 2;
      }, 'two renewals');
      await until(() => heard.length === sent, () => `${sent} events; ${heard.length} came`);
      assert.deepEqual(heard, Array.from({ length: sent }, (_, n) => n));
      assert.equal(client.socket.connected, true);
    });

    scenario(`a token that ends closes the connection and says so, over ${over}`, async (t) => {
      const organization_id = freshOrganization();
      const auth = { token: token(organization_id, { lifetime: 2 }) };
      const client = socketIoClient(t, io, server.url, { transports, auth });
      await client.connect();
      const gone = once(client.socket, 'disconnect');
      await client.inbox.take('auth:expiring');
      const { payload } = await client.inbox.take('error');
      assert.deepEqual([payload.error.code, payload.error.reason], ['AUTH_FAILED', 'token_expired']);
      // The client knows that coming back is its own decision.
      assert.equal((await gone)[0], 'io server disconnect');

      client.socket.auth = { token: token(organization_id) };
      await client.connect();
      assert.equal((await client.call('subscribe', { channels: ['kpi'] })).success, true);
    });

    scenario(`a revoked token ends its connection alone, over ${over}`, async (t) => {
      const organization_id = freshOrganization();
      const jti = randomUUID();
      const stolen = socketIoClient(t, io, server.url, {
        transports,
        auth: { token: token(organization_id, { jti }) },
      });
      const other = socketIoClient(t, io, server.url, {
        transports,
        auth: { token: token(organization_id) },
      });
      await stolen.connect();
      await other.connect();
      const gone = once(stolen.socket, 'disconnect');
      const { closed_connections } = await post('/api/ws/revoke', { jti });
      assert.equal(closed_connections, 1);
      assert.equal((await stolen.inbox.take('error')).payload.error.reason, 'token_revoked');
      assert.equal((await gone)[0], 'io server disconnect');
      const refused = once(stolen.socket, 'connect_error');
      stolen.socket.connect();
      assert.match((await refused)[0].message, /^AUTH_FAILED: .*revoked/);
      assert.equal((await other.call('client:ping', {})).server_time > 0, true);
    });
  }

  scenario('a client publishes what its token grants, and nothing else', async (t) => {
    const organization_id = freshOrganization();
    const granted = { grants: { events: ['kpi:update'] } };
    const auth = { token: token(organization_id, granted) };
    const sender = socketIoClient(t, io, server.url, { auth });
    const reader = socketIoClient(t, io, server.url, { auth: { token: token(organization_id) } });
    await sender.connect();
    await reader.connect();
    await reader.call('subscribe', { channels: ['kpi'] });
    const receipt = await sender.call('publish', { event: 'kpi:update', data: { n: 1 } });
    assert.deepEqual([receipt.success, receipt.recipients], [true, 1]);
    assert.deepEqual((await reader.inbox.take('kpi:update')).payload, { n: 1 });
    const refused = await reader.call('publish', { event: 'kpi:update', data: {} });
    assert.equal(refused.error.code, 'UNAUTHORIZED');
  });

  scenario('a 2.x client brings its token in the query and is refused with the code', async (t) => {
    const organization_id = freshOrganization();
    const good = socketIoClient(t, io2, server.url, { query: { token: token(organization_id) } });
    await good.connect();
    assert.equal((await good.call('subscribe', { channels: ['kpi'] })).success, true);
    const bad = socketIoClient(t, io2, server.url, { query: { token: 'hello' } });
    const refused = new Promise((resolve) => {
      bad.socket.on('error', resolve);
    });
    bad.socket.connect();
    const error = await within(refused, 'the refusal');
    // From Node, too, a 2.x client gets a text there.
    assert.equal(typeof error, 'string');
    assert.match(error, /^AUTH_FAILED: /);
  });
});
