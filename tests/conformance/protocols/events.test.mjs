import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe } from 'node:test';

import { once, within } from '../lib/wait.mjs';
import { acknowledged, Endpoint, enter } from '../lib/engine.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/server.mjs';
import { call, connect, stock } from '../lib/stock.mjs';
import { SECRET, token } from '../lib/token.mjs';

const TRANSPORTS = { 'default transports': undefined, websocket: ['websocket'], polling: ['polling'] };

/** A stock client in a fresh organization that is subscribed to `channels`. */
async function subscriber(t, version, server, channels, options = {}) {
  const organization_id = freshOrganization();
  const socket = await connect(stock(t, version, server, options));
  assert.equal((await call(socket, 'authenticate', { user_id: 'u', organization_id })).success, true);
  assert.equal((await call(socket, 'subscribe', { channels })).success, true);
  return { socket, organization_id };
}

describe('a page that does much at once, at the default rate', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  for (const version of ['4.x', '3.x', '2.x']) {
    for (const [over, transports] of Object.entries(TRANSPORTS)) {
      const options = transports ? { transports } : {};

      scenario(`authenticates behind 101 heartbeats that it buffered, ${version}, ${over}`, async (t) => {
        const socket = stock(t, version, server, options);
        const organization_id = freshOrganization();
        const gone = [];
        socket.on('disconnect', (reason) => gone.push(reason));
        for (let n = 0; n < 101; n += 1) socket.emit('heartbeat', { clientTime: n });
        const identity = call(socket, 'authenticate', { user_id: 'u', organization_id });
        socket.connect();
        assert.equal((await identity).success, true);
        assert.equal((await call(socket, 'subscribe', { channels: ['kpi'] })).success, true);
        await server.counts(organization_id, 1);
        assert.deepEqual(gone, []);
      });

      scenario(`subscribes 150 times in its connect, ${version}, ${over}`, async (t) => {
        const socket = stock(t, version, server, options);
        const organization_id = freshOrganization();
        const answers = new Promise((resolve) => {
          socket.on('connect', () => {
            const identity = call(socket, 'authenticate', { user_id: 'u', organization_id });
            const subscriptions = Array.from({ length: 150 }, (_, n) =>
              call(socket, 'subscribe', { channels: ['kpi'], queue_name: `queue ${n}` }),
            );
            resolve(Promise.all([identity, ...subscriptions]));
          });
        });
        socket.connect();
        const refused = (await within(answers, 'the answers', 30_000)).filter(({ success }) => !success);
        assert.deepEqual(refused, []);
      });

      scenario(`acknowledges 300 events that ask for it, ${version}, ${over}`, async (t) => {
        const { socket, organization_id } = await subscriber(t, version, server, ['kpi'], options);
        const gone = [];
        socket.on('disconnect', (reason) => gone.push(reason));
        socket.on('kpi:update', (...args) => args.at(-1)({ seen: args[0].n }));
        const receipts = await Promise.all(
          Array.from({ length: 300 }, (_, n) =>
            server.broadcast('/kpi?requires_ack=true&wait_ms=20000', { organization_id, n }),
          ),
        );
        assert.equal(
          receipts.reduce((sum, { acks }) => sum + acks, 0),
          300,
        );
        assert.deepEqual(gone, []);
        // The page's own rate is all its own still.
        assert.equal((await call(socket, 'subscribe', { channels: ['kpi'], queue_name: 'after' })).success, true);
      });
    }
  }
});

describe('an event', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer({ rate_limit_messages_per_second: 0 });
  });
  after(() => server?.stop());

  for (const version of ['4.x', '3.x', '2.x']) {
    for (const [over, transports] of Object.entries(TRANSPORTS)) {
      const options = transports ? { transports } : {};

      scenario(`with an acknowledgement is (data, callback), ${version}, ${over}`, async (t) => {
        const { socket, organization_id } = await subscriber(t, version, server, ['kpi'], options);
        const heard = once(socket, 'kpi:update');
        const receipt = server.broadcast('/kpi?requires_ack=true&wait_ms=10000', { organization_id, n: 1 });
        const args = await heard;
        assert.equal(args.length, 2, JSON.stringify(args));
        assert.deepEqual(args[0], { organization_id, n: 1 });
        args[1]('seen');
        assert.equal((await receipt).acks, 1);
      });

      scenario(`without one is (data, meta), ${version}, ${over}`, async (t) => {
        const { socket, organization_id } = await subscriber(t, version, server, ['kpi'], options);
        const heard = once(socket, 'kpi:update');
        const receipt = await server.broadcast('/kpi', { organization_id, n: 1 });
        const [data, meta] = await heard;
        assert.deepEqual(data, { organization_id, n: 1 });
        assert.equal(meta.id, receipt.message_id);
        assert.equal(meta.channel, 'kpi');
      });

      scenario(`is acknowledged with bytes, ${version}, ${over}`, async (t) => {
        const { socket, organization_id } = await subscriber(t, version, server, ['kpi'], options);
        socket.on('kpi:update', (...args) => args.at(-1)(Buffer.from([0, 255, 1]), { and: Buffer.from('more') }));
        for (let n = 0; n < 3; n += 1) {
          const { acks } = await server.broadcast('/kpi?requires_ack=true&wait_ms=10000', { organization_id, n });
          assert.equal(acks, 1);
        }
      });

      scenario(`is answered in order, 2000 at once, ${version}, ${over}`, async (t) => {
        const socket = await connect(stock(t, version, server, options));
        const order = [];
        await Promise.all(
          Array.from({ length: 2000 }, (_, n) => call(socket, 'client:ping', { n }).then(() => order.push(n))),
        );
        assert.deepEqual(
          order,
          Array.from({ length: 2000 }, (_, n) => n),
        );
      });
    }
  }

  for (const [form, plain, acknowledged] of [
    ['all', ['data', 'meta'], ['data', 'meta', 'callback']],
    ['payload', ['data'], ['data', 'callback']],
    ['auto', ['data', 'meta'], ['data', 'callback']],
  ]) {
    scenario(
      `comes as the client asks with arguments=${form}`,
      async (t) => {
        const kinds = (args) =>
          args.map((arg) => {
            if (typeof arg === 'function') return 'callback';
            if (typeof arg === 'string') return 'offset';
            return arg.organization_id ? 'data' : 'meta';
          });
        for (const version of ['4.x', '2.x']) {
          const options = { query: { arguments: form } };
          const { socket, organization_id } = await subscriber(t, version, server, ['kpi'], options);
          const heard = [];
          socket.on('kpi:update', (...args) => {
            heard.push(kinds(args));
            if (typeof args.at(-1) === 'function') args.at(-1)();
          });
          await server.broadcast('/kpi', { organization_id });
          const { acks } = await server.broadcast('/kpi?requires_ack=true&wait_ms=10000', { organization_id });
          assert.equal(acks, 1);
          // Behind the meta, the place from which a client of 4.x goes on if it is cut off.
          const offset = version === '4.x' && plain.includes('meta') ? ['offset'] : [];
          assert.deepEqual(heard, [[...plain, ...offset], acknowledged], version);
        }
      },
      ORGCAST_ONLY,
    );
  }

  for (const revision of [4, 3]) {
    const socketFor = async (t) => {
      const socket = await new Endpoint(server.url, '/ws/', revision).connect();
      t.after(() => socket.close());
      socket.answersPings = revision === 4;
      // What a ping brings comes back to whoever has authenticated.
      return enter(socket, revision, { organization_id: freshOrganization() });
    };

    scenario(`may have escapes in its name, revision ${revision}`, async (t) => {
      const socket = await socketFor(t);
      const names = ['client\\u003aping', '\\u0063lient:ping', 'client:pin\\u0067'];
      for (const [n, name] of names.entries()) {
        socket.send(`42${n}["${name}",{"n":${n}}]`);
        assert.deepEqual(acknowledged(await socket.next(), n).data, { n });
      }
    });

    scenario(`may have a name that nobody knows, written any way, revision ${revision}`, async (t) => {
      const socket = await socketFor(t);
      const strange = [
        '"a\\"b"',
        '"tab\\there"',
        '"\\ud83d\\ude00"',
        '"\\\\"',
        '"\\u0000"',
        '""',
        '1',
        '-7',
        '1.5e3',
        '0',
      ];
      for (const name of strange) {
        socket.send(`42[${name},{"x":1}]`, '420["client:ping",{}]');
        let packet = await socket.next();
        // The reference says nothing to a name without a handler.
        if (packet.startsWith('42["error"')) packet = await socket.next();
        acknowledged(packet, 0);
      }
    });

    scenario(
      `with a number for a name is refused in its acknowledgement, revision ${revision}`,
      async (t) => {
        const socket = await socketFor(t);
        socket.send('425[7,{}]');
        const answers = [await socket.next(), await socket.next()];
        const reply = answers.find((packet) => packet.startsWith('435['));
        assert.equal(acknowledged(reply, 5).error.code, 'INVALID_MESSAGE');
        assert.ok(answers.some((packet) => packet.startsWith('42["error"')));
      },
      ORGCAST_ONLY,
    );

    scenario(`may be nested 120 deep, revision ${revision}`, async (t) => {
      const socket = await socketFor(t);
      for (const [open, close] of [
        ['[', ']'],
        ['{"a":', '}'],
      ]) {
        for (const depth of [10, 60, 120]) {
          const data = `${open.repeat(depth)}1${close.repeat(depth)}`;
          socket.send(`420["client:ping",${data}]`);
          assert.equal(JSON.stringify(acknowledged(await socket.next(), 0).data), data);
        }
      }
    });

    for (const packet of [
      '42[]',
      '42["client:ping"',
      '42{"a":1}',
      '42[{"a":1}]',
      '42[null,1]',
      '42[true]',
      '49["x"]',
      '42["connect"]',
      '42["disconnect",1]',
    ]) {
      scenario(`that is ${packet} closes the connection, revision ${revision}`, async (t) => {
        const socket = await socketFor(t);
        socket.send(packet);
        await socket.end();
      });
    }
  }

  scenario(
    'with bytes is published by one client and heard by others',
    async (t) => {
      const organization_id = freshOrganization();
      const strict = await startServer({ 'auth.jwt_secret': SECRET });
      t.after(() => strict.stop());
      const auth = { token: token({ organization_id, grants: { channels: ['kpi'], events: ['kpi:update'] } }) };
      const listeners = [];
      for (const version of ['4.x', '3.x', '2.x']) {
        for (const [over, transports] of Object.entries(TRANSPORTS)) {
          const options = { ...(transports ? { transports } : {}), auth, query: version === '2.x' ? auth : {} };
          const socket = await connect(stock(t, version, strict, options));
          assert.equal((await call(socket, 'subscribe', { channels: ['kpi'] })).success, true);
          listeners.push({ what: `${version}, ${over}`, socket, heard: once(socket, 'kpi:update') });
        }
      }
      const data = { image: Buffer.from([0, 1, 2, 254, 255]), n: 1, more: [Buffer.from('text')] };
      const receipt = await call(listeners[0].socket, 'publish', { event: 'kpi:update', data });
      assert.equal(receipt.success, true, JSON.stringify(receipt));
      assert.equal(receipt.recipients, listeners.length);
      for (const { what, heard } of listeners) {
        const [payload] = await heard;
        assert.deepEqual(payload, data, what);
      }
    },
    ORGCAST_ONLY,
  );
});

describe('the names of events in the configuration', () => {
  // Each of them throws in a stock client that is told to emit it, or means something else to it.
  const reserved = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];
  for (const name of reserved) {
    scenario(
      `can't be ${name}`,
      () => {
        const events = `{ "${name}" = "kpi" }`;
        const args = ['serve', '--port', '0', '--events', events];
        const { status, stderr, stdout } = spawnSync(process.env.ORGCAST_BIN, args, {
          encoding: 'utf8',
          timeout: 10_000,
          env: { PATH: process.env.PATH },
        });
        assert.ok(status > 0, `it started: ${stdout}`);
        assert.ok(stderr.includes(name), stderr);
      },
      ORGCAST_ONLY,
    );
  }
});
