import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { once, until } from '../lib/wait.mjs';
import { acknowledged, Endpoint, enter } from '../lib/engine.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { serverFor, startServer, stats } from '../lib/server.mjs';
import { call, connect, stock } from '../lib/stock.mjs';
import { SECRET, token } from '../lib/token.mjs';

const AN_OBJECT = 'has a text in version 2; version 4 tells these clients an object';

describe('a CONNECT', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  async function socketFor(t, revision = 4) {
    const socket = await new Endpoint(server.url, '/ws/', revision).connect();
    t.after(() => socket.close());
    socket.answersPings = revision === 4;
    return socket;
  }

  scenario('that was answered closes the connection when it comes again', async (t) => {
    const socket = await enter(await socketFor(t), 4);
    socket.send('40');
    await socket.end();
  });

  scenario(
    'that comes ten thousand times at once is answered once',
    async (t) => {
      const socket = await socketFor(t);
      for (let n = 0; n < 10_000; n += 1) socket.send('40');
      let answers = 0;
      for (let message; (message = await socket.next().catch(() => undefined)) !== undefined;) {
        if (message.startsWith('40')) answers += 1;
      }
      await socket.end();
      assert.equal(answers, 1);
    },
    { node: 'answers each that comes in one read' },
  );

  scenario(
    'directly behind a DISCONNECT is answered, each time',
    async (t) => {
      const socket = await enter(await socketFor(t), 4);
      const ids = new Set();
      for (let n = 0; n < 20; n += 1) {
        socket.send('41', '40');
        const answer = await socket.next(`the answer to CONNECT ${n + 1}`);
        assert.ok(answer.startsWith('40{'), answer);
        ids.add(JSON.parse(answer.slice(2)).sid);
        socket.send('420["client:ping",{}]');
        acknowledged(await socket.next(), 0);
      }
      assert.equal(ids.size, 20);
    },
    { node: 'closes the connection where both come in one read' },
  );

  scenario(
    'directly behind a DISCONNECT in one body is answered',
    async () => {
      const session = await enter(await new Endpoint(server.url, '/ws/').open(), 4);
      for (let n = 0; n < 20; n += 1) {
        await session.send('41', '40');
        assert.ok((await session.next()).startsWith('40{'));
      }
    },
    { node: 'closes the connection' },
  );

  for (const revision of [4, 3]) {
    scenario(
      `to a namespace with a query is refused without it, revision ${revision}`,
      async (t) => {
        const socket = await socketFor(t, revision);
        if (revision === 3) assert.equal(await socket.next(), '40');
        socket.send('40/nope?token=abc&x=1,');
        const body = { 3: '"Invalid namespace"', 4: '{"message":"Invalid namespace"}' }[revision];
        assert.equal(await socket.next(), `44/nope,${body}`);
      },
      { node: { 3: AN_OBJECT, 4: 'takes the query for a part of the name' }[revision] },
    );
  }

  scenario(
    'of 2.x to a namespace with a query is refused with a text',
    async (t) => {
      const socket = stock(t, '2.x', server, { namespace: '/nope?x=1', query: { a: 1 } });
      const heard = once(socket, 'error');
      socket.connect();
      assert.deepEqual(await heard, ['Invalid namespace']);
    },
    { node: AN_OBJECT },
  );

  for (const packet of ['42/nope,["client:ping",{}]', '43/nope,0[]', '41/nope,', '42["client:ping",{}]', '430[]']) {
    scenario(`is needed before ${packet}, which closes the connection`, async (t) => {
      const socket = await socketFor(t);
      socket.send(packet);
      await socket.end();
    });

    if (!packet.includes('/nope')) continue;
    scenario(`to / is none for ${packet}, which closes the connection`, async (t) => {
      const socket = await enter(await socketFor(t), 4);
      socket.send(packet);
      await socket.end();
    });
  }

  for (const version of ['4.x', '3.x']) {
    scenario(`of ${version} gets an id that is not the transport session's`, async (t) => {
      const socket = await connect(stock(t, version, server));
      assert.match(socket.id, /^\S{16,}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
    });
  }

  for (const revision of [4, 3]) {
    scenario(
      `that is taken back keeps no place for who does not authenticate, revision ${revision}`,
      async (t) => {
        const strict = await serverFor(t, { auth_timeout_ms: 500, connect_timeout_ms: 500, ping_interval_ms: 200 });
        const sockets = await Promise.all(
          Array.from({ length: 5 }, () => new Endpoint(strict.url, '/ws/', revision).connect()),
        );
        for (const socket of sockets) {
          t.after(() => socket.close());
          socket.answersPings = revision === 4;
          if (revision === 4) socket.send('40');
          socket.send('41');
        }
        await Promise.all(sockets.map((socket) => socket.end()));
        await until(async () => (await stats(strict)).places_taken === 0, 'the places to be free');
      },
      ORGCAST_ONLY,
    );
  }
});

describe('a token', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer({ 'auth.jwt_secret': SECRET, 'auth.allow_asserted': true });
  });
  after(() => server?.stop());

  const none = {
    'an empty one': { auth: { token: '' } },
    null: { auth: { token: null } },
    undefined: { auth: { token: undefined } },
    'an empty one in the query': { query: { token: '' } },
    '"undefined" in the query': { query: { token: 'undefined' } },
    '"null" in the query': { query: { token: 'null' } },
  };
  for (const version of ['4.x', '3.x', '2.x']) {
    for (const [what, options] of Object.entries(none)) {
      if (version === '2.x' && options.auth) continue;
      scenario(`that is ${what} is none, ${version}`, async (t) => {
        const organization_id = freshOrganization();
        const socket = stock(t, version, server, options);
        const failures = [];
        socket.on('connect_error', (error) => failures.push(error.message));
        socket.on('error', (error) => failures.push(error));
        await connect(socket);
        const identity = await call(socket, 'authenticate', { user_id: 'u', organization_id });
        assert.equal(identity.success, true, JSON.stringify(identity));
        assert.deepEqual(failures, []);
      });
    }
  }

  scenario('that is none leaves the ids beside it', async (t) => {
    const organization_id = freshOrganization();
    const socket = await connect(stock(t, '4.x', server, { auth: { token: '', user_id: 'u', organization_id } }));
    const answer = await call(socket, 'subscribe', { channels: ['kpi'] });
    assert.deepEqual(answer.subscriptions, [`kpi:org:${organization_id}`]);
  });

  scenario('that is none is none in authenticate too', async (t) => {
    for (const nothing of ['', null]) {
      const organization_id = freshOrganization();
      const socket = await connect(stock(t, '4.x', server));
      const identity = await call(socket, 'authenticate', { token: nothing, user_id: 'u', organization_id });
      assert.equal(identity.success, true, JSON.stringify(identity));
    }
  });

  for (const version of ['4.x', '3.x']) {
    for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
      scenario(`that is bad is a connect_error with data, ${version} over ${transports}`, async (t) => {
        const socket = stock(t, version, server, { transports, auth: { token: 'bad' } });
        const heard = once(socket, 'connect_error');
        socket.connect();
        const [error] = await heard;
        assert.match(error.message, /^AUTH_FAILED: /);
        assert.equal(error.data.code, 'AUTH_FAILED');
        assert.equal(error.data.reason, 'token_malformed');
        assert.equal(socket.connected, false);
      });
    }
  }

  scenario(
    'that has ended says so in the data of the connect_error',
    async (t) => {
      const bad = token({ organization_id: freshOrganization(), lifetime: -60 });
      const socket = stock(t, '4.x', server, { auth: { token: bad } });
      const heard = once(socket, 'connect_error');
      socket.connect();
      const [error] = await heard;
      assert.deepEqual([error.data.code, error.data.reason], ['AUTH_FAILED', 'token_expired']);
    },
    ORGCAST_ONLY,
  );

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    scenario(`that is bad is an error with a text for 2.x, over ${transports}`, async (t) => {
      const socket = stock(t, '2.x', server, { transports, query: { token: 'bad' } });
      const heard = once(socket, 'error');
      socket.connect();
      const [error] = await heard;
      assert.equal(typeof error, 'string', JSON.stringify(error));
      assert.match(error, /^AUTH_FAILED: /);
    });
  }
});
