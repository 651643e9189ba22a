import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { once, until } from '../lib/wait.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { serverFor, startServer, stats } from '../lib/server.mjs';
import { call, connect, stock } from '../lib/stock.mjs';

const VERSIONS = ['4.x', '3.x', '2.x'];
const TRANSPORTS = { 'default transports': undefined, websocket: ['websocket'], polling: ['polling'] };

/** Resolves once a client has tried again by itself `times` times. */
async function triesAgain(socket, times) {
  let tries = 0;
  const count = () => (tries += 1);
  socket.io.on('reconnect_attempt', count);
  await until(
    () => tries >= times,
    () => `the client to try again; it did ${tries} times`,
  );
  socket.io.off('reconnect_attempt', count);
}

describe('a server that is full', { concurrency: true }, () => {
  for (const version of VERSIONS) {
    for (const [over, transports] of Object.entries(TRANSPORTS)) {
      scenario(
        `is tried again by ${version} until there is a place, ${over}`,
        async (t) => {
          const server = await serverFor(t, { max_connections_total: 1 });
          const holder = await connect(stock(t, '4.x', server, { transports: ['websocket'] }));
          const socket = stock(t, version, server, transports ? { transports } : {});
          socket.connect();
          await triesAgain(socket, 3);
          assert.equal(socket.connected, false);

          const connected = once(socket, 'connect', 'the client to get the place');
          holder.disconnect();
          await connected;
          const organization_id = freshOrganization();
          assert.equal((await call(socket, 'authenticate', { user_id: 'u', organization_id })).success, true);
          assert.equal((await stats(server)).places_taken, 1);
        },
        ORGCAST_ONLY,
      );
    }
  }
});

describe('an organization that is full', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer({ max_connections_per_org: 1 });
  });
  after(() => server?.stop());

  for (const version of VERSIONS) {
    for (const [over, transports] of Object.entries(TRANSPORTS)) {
      const options = transports ? { transports } : {};

      scenario(
        `is tried again by ${version} that says so in its handshake, ${over}`,
        async (t) => {
          const identity = { user_id: 'u', organization_id: freshOrganization() };
          const settings = { ...options, auth: identity, query: version === '2.x' ? identity : {} };
          const holder = await connect(stock(t, version, server, settings));
          await server.counts(identity.organization_id, 1);
          const socket = stock(t, version, server, settings);
          socket.connect();
          await triesAgain(socket, 3);

          holder.disconnect();
          await until(async () => {
            const route = `/api/ws/connections?organization_id=${identity.organization_id}`;
            return socket.connected && (await server.get(route)).body.connections.length === 1;
          }, 'the client to get the place');
          assert.equal((await call(socket, 'subscribe', { channels: ['kpi'] })).success, true);
        },
        ORGCAST_ONLY,
      );

      scenario(
        `is tried again by ${version} that says so by message, ${over}`,
        async (t) => {
          const identity = { user_id: 'u', organization_id: freshOrganization() };
          const holder = await connect(stock(t, version, server, options));
          assert.equal((await call(holder, 'authenticate', identity)).success, true);

          const socket = stock(t, version, server, options);
          const answers = [];
          socket.on('connect', () => socket.emit('authenticate', identity, (answer) => answers.push(answer)));
          socket.connect();
          await triesAgain(socket, 3);
          assert.ok(answers.length >= 1, 'the refusal is not told');
          for (const { error } of answers) assert.equal(error?.code, 'CONNECTION_LIMIT');

          holder.disconnect();
          await until(() => answers.at(-1).success, 'the client to get the place');
          assert.equal((await call(socket, 'subscribe', { channels: ['kpi'] })).success, true);
        },
        ORGCAST_ONLY,
      );
    }
  }
});

describe('the rate', { concurrency: true }, () => {
  scenario(
    'that refused authenticate closes whoever is then too late, so that it comes back',
    async (t) => {
      const server = await serverFor(t, {
        auth_timeout_ms: 1000,
        rate_limit_messages_per_second: 5,
        rate_limit_close_after_ms: 0,
      });
      const organization_id = freshOrganization();
      const socket = stock(t, '4.x', server, { transports: ['websocket'] });
      let connects = 0;
      socket.on('connect', () => {
        connects += 1;
        if (connects > 1) {
          socket.emit('authenticate', { user_id: 'u', organization_id });
          return;
        }
        // Whatever is kept for it, a page can emit more: many that are refused, each counting.
        for (let n = 0; n < 2000; n += 1) socket.emit('authenticate', { user_id: '', organization_id });
      });
      await connect(socket);
      await server.counts(organization_id, 1);
      assert.ok(connects > 1);
    },
    ORGCAST_ONLY,
  );
});
