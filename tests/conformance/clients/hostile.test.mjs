import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';
import io2 from 'socket.io-client-2';

import { plainClient, socketIoClient } from '../lib/clients.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { once } from '../lib/wait.mjs';

/** `{"a":{"a":...}}`, `depth` objects deep. */
const nested = (depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

// What is emitted, and the code it is refused with. `raw` is the packet as it stands after Engine.IO's `4`.
const SOCKET_IO = [
  { what: 'an unknown event', emit: ['no:such:event', {}], code: 'INVALID_MESSAGE' },
  { what: 'an event of the server', emit: ['kpi:update', { organization_id: 'org_1' }], code: 'INVALID_MESSAGE' },
  { what: 'an event named like a prototype key', emit: ['__proto__', {}], code: 'INVALID_MESSAGE' },
  { what: 'an event without a payload', emit: ['subscribe'], code: 'INVALID_MESSAGE' },
  { what: 'null as payload', emit: ['subscribe', null], code: 'INVALID_MESSAGE' },
  { what: 'a number as payload', emit: ['subscribe', 42], code: 'INVALID_MESSAGE' },
  { what: 'an array as payload', emit: ['subscribe', [['kpi']]], code: 'INVALID_MESSAGE' },
  { what: 'an array as filter', emit: ['subscribe', { channels: ['kpi'], filters: [1] }], code: 'INVALID_MESSAGE' },
  { what: 'a number as channel', emit: ['subscribe', { channels: [7] }], code: 'INVALID_MESSAGE' },
  { what: 'an object as id', emit: ['subscribe', { channels: ['kpi'], queue_name: {} }], code: 'INVALID_MESSAGE' },
  { what: 'an empty id', emit: ['subscribe', { channels: ['kpi'], queue_name: '' }], code: 'INVALID_MESSAGE' },
  {
    what: 'an id of 200 bytes',
    emit: ['subscribe', { channels: ['kpi'], queue_name: 'q'.repeat(200) }],
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an id of 65 characters and 130 bytes',
    emit: ['subscribe', { channels: ['kpi'], queue_name: 'ü'.repeat(65) }],
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an id with a control character',
    emit: ['subscribe', { channels: ['kpi'], queue_name: 'sup\u0000port' }],
    code: 'INVALID_MESSAGE',
  },
  { what: 'no channel', emit: ['subscribe', { channels: [] }], code: 'SUBSCRIPTION_FAILED' },
  { what: 'an unknown channel', emit: ['subscribe', { channels: ['no-such-channel'] }], code: 'SUBSCRIPTION_FAILED' },
  { what: 'a prototype key as channel', emit: ['subscribe', { channels: ['__proto__'] }], code: 'SUBSCRIPTION_FAILED' },
  {
    what: 'another organization',
    emit: ['subscribe', { channels: ['kpi'], organization_id: 'org_other' }],
    code: 'UNAUTHORIZED',
  },
  {
    what: 'another organization under another name, in filters',
    emit: ['subscribe', { channels: ['kpi'], filters: { companyId: 'org_other' } }],
    code: 'UNAUTHORIZED',
  },
  {
    what: 'a second user',
    emit: ['authenticate', { user_id: 'somebody else', organization_id: 'org_other' }],
    code: 'UNAUTHORIZED',
  },
  { what: 'binary as payload', emit: ['subscribe', Buffer.from([0, 255, 1])], code: 'INVALID_MESSAGE' },
  {
    what: 'binary as id',
    emit: ['subscribe', { channels: ['kpi'], queue_name: Buffer.from('support') }],
    code: 'INVALID_MESSAGE',
  },
  { what: 'a name with escapes', raw: '2["\\u0073ub\\n\\"scribe\\\\\\/",{}]', code: 'INVALID_MESSAGE' },
  { what: 'a name with a lone surrogate in its payload', raw: '2["a",{"x":"\\ud83d"}]', code: 'INVALID_MESSAGE' },
  { what: 'an empty name', emit: ['', {}], code: 'INVALID_MESSAGE' },
  { what: 'a name of 10 000 characters', emit: ['x'.repeat(10_000), {}], code: 'INVALID_MESSAGE' },
  { what: 'a number as name', raw: '2[7,{}]', code: 'INVALID_MESSAGE' },
  { what: 'a fraction as name', raw: '2[-1.5e3,{}]', code: 'INVALID_MESSAGE' },
  { what: 'a number that names a place in a list', emit: [0, {}], code: 'INVALID_MESSAGE' },
  {
    what: 'an object 100 levels deep',
    raw: `2["subscribe",{"channels":["kpi"],"queue_name":${nested(100)}}]`,
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an object 10 000 levels deep',
    raw: `2["subscribe",{"channels":["kpi"],"queue_name":${nested(10_000)}}]`,
    code: 'INVALID_MESSAGE',
  },
];

// Packets that break the protocol, as they stand after Engine.IO's `4`; binary ones as they are. They close the
// transport.
const BROKEN = [
  { what: 'malformed JSON inside an event', raw: ['2["subscribe",{"channels":["kpi"}]'] },
  { what: 'an event that breaks off', raw: ['2["subscribe"'] },
  { what: 'an event that is an object', raw: ['2{"event":"subscribe"}'] },
  { what: 'an event that is a text', raw: ['2"subscribe"'] },
  { what: 'an event without a name', raw: ['2[]'] },
  { what: 'null as name', raw: ['2[null,{}]'] },
  { what: 'an object as name', raw: ['2[{"event":"subscribe"}]'] },
  { what: 'an event of nothing', raw: ['2'] },
  ...['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'].map((name) => ({
    what: `the reserved name ${name}`,
    raw: [`2["${name}",{}]`],
  })),
  { what: 'the reserved name disconnect, written with an escape', raw: ['2["dis\\u0063onnect"]'] },
  { what: 'an event for a namespace that it never joined', raw: ['2/admin,["subscribe",{"channels":["kpi"]}]'] },
  { what: 'a packet of a type that does not exist', raw: ['9["subscribe"]'] },
  { what: 'no packet at all', raw: ['subscribe'] },
  { what: 'a second CONNECT', raw: ['0'] },
  { what: "the server's own CONNECT_ERROR", raw: ['4{"message":"no"}'] },
  { what: 'an acknowledgement that is no list', raw: ['31{}'] },
  { what: 'more attachments than ten', raw: ['511-["subscribe",{"_placeholder":true,"num":0}]'] },
  { what: 'attachments without a number', raw: ['5-["subscribe",{"_placeholder":true,"num":0}]'] },
  {
    what: 'text where an attachment has to come',
    raw: ['51-["subscribe",{"_placeholder":true,"num":0}]', '2["client:ping",{}]'],
  },
  { what: 'an attachment that nobody announced', raw: [Buffer.from([1, 2, 3])] },
  {
    what: 'a placeholder for an attachment that does not come',
    raw: ['51-["subscribe",{"_placeholder":true,"num":1}]', Buffer.from([1])],
  },
];

// What is sent, and the code it is refused with. `send` is an object, sent as JSON; `raw` a frame as it stands.
const PLAIN = [
  { what: 'an empty frame', raw: '', code: 'INVALID_MESSAGE' },
  { what: 'a binary frame', raw: Buffer.from('{"event":"ping"}'), code: 'INVALID_MESSAGE' },
  { what: 'malformed JSON', raw: '{"event":"subscribe","data":{"channels":["kpi"}', code: 'INVALID_MESSAGE' },
  { what: 'two JSON values', raw: '{"event":"ping"}{"event":"ping"}', code: 'INVALID_MESSAGE' },
  { what: 'a lone surrogate', raw: '{"event":"subscribe","data":{"channels":["\\ud800"]}}', code: 'INVALID_MESSAGE' },
  { what: 'a number as message', raw: '42', code: 'INVALID_MESSAGE' },
  { what: 'an array as message', raw: '["subscribe",{"channels":["kpi"]}]', code: 'INVALID_MESSAGE' },
  { what: 'a message without a name', send: { data: {} }, code: 'INVALID_MESSAGE' },
  { what: 'a number as name', send: { event: 7, data: {} }, code: 'INVALID_MESSAGE' },
  {
    what: 'a message that only a prototype names',
    raw: '{"__proto__":{"event":"ping"},"constructor":{"event":"ping"}}',
    code: 'INVALID_MESSAGE',
  },
  { what: 'an unknown event', send: { event: 'no:such:event', data: {} }, code: 'INVALID_MESSAGE' },
  { what: 'an event of the server', send: { event: 'kpi:update', data: { n: 1 } }, code: 'INVALID_MESSAGE' },
  { what: 'an event without data', send: { event: 'subscribe' }, code: 'INVALID_MESSAGE' },
  { what: 'a number as data', send: { event: 'subscribe', data: 42 }, code: 'INVALID_MESSAGE' },
  {
    what: 'an array as filter',
    send: { event: 'subscribe', data: { channels: ['kpi'], filters: [1] } },
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an id of 200 bytes',
    send: { event: 'subscribe', data: { channels: ['kpi'], queue_name: 'q'.repeat(200) } },
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an id with a control character',
    send: { event: 'subscribe', data: { channels: ['kpi'], queue_name: 'sup\u001bport' } },
    code: 'INVALID_MESSAGE',
  },
  { what: 'no channel', send: { event: 'subscribe', data: { channels: [] } }, code: 'SUBSCRIPTION_FAILED' },
  {
    what: 'an unknown channel',
    send: { event: 'subscribe', data: { channels: ['no-such-channel'] } },
    code: 'SUBSCRIPTION_FAILED',
  },
  {
    what: 'a prototype key as channel',
    send: { event: 'subscribe', data: { channels: ['constructor'] } },
    code: 'SUBSCRIPTION_FAILED',
  },
  {
    what: 'another organization',
    send: { event: 'subscribe', data: { channels: ['kpi'], organization_id: 'org_other' } },
    code: 'UNAUTHORIZED',
  },
  {
    what: 'a second user',
    send: { event: 'authenticate', data: { user_id: 'somebody else', organization_id: 'org_other' } },
    code: 'UNAUTHORIZED',
  },
  {
    what: 'an object 10 000 levels deep',
    raw: `{"event":"subscribe","data":{"channels":["kpi"],"queue_name":${nested(10_000)}}}`,
    code: 'INVALID_MESSAGE',
  },
];

let server;

before(async () => {
  server = await startServer({ rate_limit_messages_per_second: 0 });
});
after(() => server?.stop());

/** One client of each protocol in the room that the hostile client shares. */
async function bystanders(t, organization_id) {
  const socketIo = socketIoClient(t, io, server.url, { transports: ['websocket'] });
  await socketIo.connect();
  const clients = [socketIo, await plainClient(t, server)];
  for (const client of clients) await join(client, organization_id, 'bystander');
  return clients;
}

async function join(client, organization_id, user_id) {
  assert.equal((await client.call('authenticate', { user_id, organization_id })).success, true);
  assert.deepEqual(await client.call('subscribe', { channels: ['kpi'] }), {
    success: true,
    subscriptions: [`kpi:org:${organization_id}`],
  });
}

/** The hostile client heard of its error and of nothing else, lives, and nobody in the room noticed. */
async function assertHarmless(hostile, others, organization_id, code) {
  const error = await hostile.inbox.next();
  assert.equal(error.event, 'error');
  assert.equal(error.payload.success, false);
  assert.equal(error.payload.error.code, code);
  assert.match(error.payload.error.message, /\S/);

  hostile.send('client:ping', {});
  const pong = await hostile.inbox.next();
  assert.equal(pong.event, 'client:pong');
  assert.equal(pong.payload.error, undefined);

  await assertAllHear([hostile, ...others], organization_id);
}

async function assertAllHear(clients, organization_id) {
  const payload = { organization_id, health_score: 85 };
  assert.equal((await server.broadcast('/kpi', payload)).recipients, clients.length);
  for (const client of clients) {
    const message = await client.inbox.next();
    assert.deepEqual([message.event, message.payload], ['kpi:update', payload]);
  }
}

for (const [version, client, transport] of [
  ['4.x', io, 'websocket'],
  ['4.x', io, 'polling'],
  ['2.x', io2, 'websocket'],
  ['2.x', io2, 'polling'],
]) {
  describe(`a hostile Socket.IO client ${version} over ${transport}`, () => {
    for (const { what, emit, raw, code } of SOCKET_IO) {
      scenario(`that sends ${what} hears ${code} and harms nobody`, async (t) => {
        const organization_id = freshOrganization();
        const others = await bystanders(t, organization_id);
        const hostile = socketIoClient(t, client, server.url, { transports: [transport] });
        await hostile.connect();
        await join(hostile, organization_id, 'hostile');

        if (raw) {
          hostile.raw(raw);
        } else {
          const acknowledgement = await hostile.call(...emit);
          assert.equal(acknowledgement.success, false);
          assert.equal(acknowledgement.error.code, code);
        }
        await assertHarmless(hostile, others, organization_id, code);
      });
    }

    for (const { what, raw } of BROKEN) {
      scenario(`that sends ${what} loses its transport, comes back by itself and harms nobody`, async (t) => {
        const organization_id = freshOrganization();
        const others = await bystanders(t, organization_id);
        const hostile = socketIoClient(t, client, server.url, { transports: [transport] });
        await hostile.connect();
        await join(hostile, organization_id, 'hostile');
        const noticed = [];
        for (const { socket } of others) {
          for (const event of ['disconnect', 'close']) socket.on(event, () => noticed.push(event));
        }

        const gone = once(hostile.socket, 'disconnect', 'the transport to be closed');
        const back = once(hostile.socket, 'connect', 'the client to come back by itself');
        const before = hostile.call('client:ping', { n: 1 });
        for (const packet of raw) hostile.raw(packet);
        // What stands behind the broken packet is not read any more.
        hostile.send('client:ping', { n: 2 });
        assert.deepEqual((await before).data, { n: 1 });
        const [reason, details] = await gone;
        assert.match(reason, /^transport (close|error)$/);
        // Only 4.x says which code the WebSocket was closed with.
        if (transport === 'websocket' && details) assert.equal(details.context.code, 1002);
        await back;

        await join(hostile, organization_id, 'hostile');
        await assertAllHear([hostile, ...others], organization_id);
        assert.deepEqual(noticed, []);
      });
    }
  });
}

describe('a hostile plain client', () => {
  for (const { what, send, raw, code } of PLAIN) {
    scenario(`that sends ${what} hears ${code} and harms nobody`, async (t) => {
      const organization_id = freshOrganization();
      const others = await bystanders(t, organization_id);
      const hostile = await plainClient(t, server);
      await join(hostile, organization_id, 'hostile');

      hostile.raw(raw ?? JSON.stringify(send));
      await assertHarmless(hostile, others, organization_id, code);
    });
  }
});
