import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { once } from '../lib/wait.mjs';
import { startPython } from '../lib/python.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { serverFor, startServer } from '../lib/server.mjs';
import { call, connect, stock } from '../lib/stock.mjs';

describe('python-socketio', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  for (const transports of ['polling', 'websocket', 'polling,websocket']) {
    scenario(
      `hears the payload alone in a handler that takes one argument, over ${transports}`,
      async (t) => {
        const organization_id = freshOrganization();
        const client = await startPython(t, server, { transports, organization_id });
        await client.line('subscribed');
        const receipt = await server.broadcast('/kpi', { organization_id, n: 1 });
        assert.equal(receipt.recipients, 1);
        assert.deepEqual(await client.line('kpi'), { organization_id, n: 1 });
      },
      ORGCAST_ONLY,
    );

    scenario(
      `acknowledges with what its handler returns, over ${transports}`,
      async (t) => {
        const organization_id = freshOrganization();
        const client = await startPython(t, server, { transports, organization_id });
        await client.line('subscribed');
        const { acks } = await server.broadcast('/kpi?requires_ack=true&wait_ms=10000', { organization_id, n: 2 });
        assert.equal(acks, 1);
        assert.deepEqual(await client.line('kpi'), { organization_id, n: 2 });
      },
      ORGCAST_ONLY,
    );
  }
});

describe('after a restart on the same port', { concurrency: true }, () => {
  for (const version of ['4.x', '3.x', '2.x']) {
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      scenario(`${version} over ${transports} comes back by itself`, async (t) => {
        const server = await serverFor(t, { shutdown_timeout_ms: 5000 });
        const organization_id = freshOrganization();
        const socket = await connect(stock(t, version, server, { transports }));
        assert.equal((await call(socket, 'authenticate', { user_id: 'u', organization_id })).success, true);
        const back = once(socket, 'connect', 'the client to come back', 20_000);
        await server.restart();
        await back;
        assert.equal((await call(socket, 'authenticate', { user_id: 'u', organization_id })).success, true);
      });
    }
  }

  for (const transports of ['polling', 'websocket', 'polling,websocket']) {
    scenario(
      `python-socketio over ${transports} comes back by itself`,
      async (t) => {
        const server = await serverFor(t, { shutdown_timeout_ms: 5000 });
        const organization_id = freshOrganization();
        const client = await startPython(t, server, { transports, organization_id });
        await client.line('subscribed');
        await server.restart();
        await client.line('subscribed', 20_000);
        await server.broadcast('/kpi', { organization_id, n: 3 });
        assert.deepEqual(await client.line('kpi'), { organization_id, n: 3 });
      },
      { node: 'sends polling clients away for good' },
    );
  }
});
