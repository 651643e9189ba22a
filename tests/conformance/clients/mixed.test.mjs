import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { io } from 'socket.io-client';
import io2 from 'socket.io-client-2';

import { plainClient, receivedSoFar, socketIoClient } from '../lib/clients.mjs';
import { scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';

const BROADCASTS = 200;
const organization_id = 'org_123';

let server;

before(async () => {
  server = await startServer();
});
after(() => server?.stop());

async function joined(client) {
  const identity = await client.call('authenticate', { user_id: 'user_123', organization_id });
  assert.equal(identity.success, true);
  const subscription = await client.call('subscribe', { channels: ['kpi'], queue_name: 'support' });
  assert.deepEqual(subscription, { success: true, subscriptions: [`kpi:org:${organization_id}:queue:support`] });
  assert.equal((await client.call('subscribe', { channels: ['attendance'] })).success, true);
  return client;
}

async function socketIo(t, client, transport) {
  const connection = socketIoClient(t, client, server.url, { transports: [transport] });
  await connection.connect();
  return joined(connection);
}

async function assertEveryoneHearsEverything(clients) {
  const posted = [];
  for (let n = 0; n < BROADCASTS; n += 1) {
    const payload = { organization_id, queue_name: 'support', n, text: `Nº ${n} – ${'x'.repeat(n * 20)}` };
    const { recipients } = await server.broadcast('/kpi', payload);
    assert.equal(recipients, Object.keys(clients).length);
    posted.push(['kpi:update', payload]);
  }
  for (const [name, client] of Object.entries(clients)) {
    const received = await receivedSoFar(server, organization_id, client);
    assert.deepEqual(
      received.map(({ event, payload }) => [event, payload]).filter(([, { marker }]) => marker === undefined),
      posted,
      `what the ${name} client received`,
    );
  }
}

scenario('Socket.IO over websocket, Socket.IO over polling and plain WebSocket share a room', async (t) => {
  await assertEveryoneHearsEverything({
    'Socket.IO websocket': await socketIo(t, io, 'websocket'),
    plain: await joined(await plainClient(t, server)),
    'Socket.IO polling': await socketIo(t, io, 'polling'),
  });
  // The next test counts recipients in the same room.
  t.after(() => server.counts(organization_id, 0));
});

scenario('clients of 2.x and every envelope share that room too', async (t) => {
  await assertEveryoneHearsEverything({
    '2.x websocket': await socketIo(t, io2, 'websocket'),
    '2.x polling': await socketIo(t, io2, 'polling'),
    type_data: await joined(await plainClient(t, server, { envelope: 'type_data' })),
    type_payload: await joined(await plainClient(t, server, { envelope: 'type_payload' })),
  });
});
