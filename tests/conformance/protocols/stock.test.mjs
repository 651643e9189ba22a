import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startEcho, TIMING } from '../lib/echo.mjs';
import { scenario } from '../lib/scenario.mjs';
import { call, connect, stock } from '../lib/stock.mjs';
import { once } from '../lib/wait.mjs';

const TRANSPORTS = [['polling', 'websocket'], ['websocket'], ['polling']];

/** What a client of Node hands on for bytes: 2.x over some transports a view of more than it was sent. */
const plain = (value) => {
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};

const ARGUMENTS = [
  'text',
  { n: 1, bytes: Buffer.from([0, 1, 127, 128, 255]), list: [null, true, Buffer.alloc(0), { deep: Buffer.from('ü') }] },
  Buffer.alloc(70_000, 7),
];

// One after the other, but for those that only wait: a client has 200 ms for each ping.
describe('stock clients and the echo application', () => {
  let echo;
  let server;
  before(async () => {
    echo = await startEcho({ node: ['--eio3'] });
    server = { url: echo.socket };
  });
  after(() => echo?.stop());

  for (const version of ['4.x', '3.x', '2.x']) {
    for (const transports of TRANSPORTS) {
      for (const namespace of ['', '/custom']) {
        const where = `${version} over ${transports}${namespace && ` in ${namespace}`}`;
        const connected = (t) => connect(stock(t, version, server, { path: '/socket.io', transports, namespace }));

        scenario(`agree on arguments with bytes in them, ${where}`, async (t) => {
          const socket = await connected(t);
          const heard = once(socket, 'message-back');
          socket.emit('message', ...ARGUMENTS);
          assert.deepEqual(plain(await heard), plain(ARGUMENTS));
          const acknowledged = await new Promise((resolve) =>
            socket.emit('message-with-ack', ...ARGUMENTS, (...args) => resolve(args)),
          );
          assert.deepEqual(plain(acknowledged), plain(ARGUMENTS));
        });

        scenario(`agree on the order of what has bytes and what has none, ${where}`, async (t) => {
          const socket = await connected(t);
          const heard = [];
          const all = new Promise((resolve) => {
            socket.on('message-back', (n, bytes) => {
              heard.push([n, bytes === undefined ? -1 : Buffer.from(bytes)[0]]);
              if (heard.length === 200) resolve();
            });
          });
          const expected = Array.from({ length: 200 }, (_, n) => [n, n % 3 === 0 ? n : -1]);
          for (const [n, byte] of expected) socket.emit('message', n, ...(byte === -1 ? [] : [Buffer.from([byte])]));
          await call(socket, 'message-with-ack', 'marker');
          await all;
          assert.deepEqual(heard, expected);
        });
      }
    }
  }

  describe('at rest', { concurrency: true }, () => {
    for (const version of ['4.x', '3.x', '2.x']) {
      for (const transports of TRANSPORTS) {
        scenario(`stay connected over many heartbeats, ${version} over ${transports}`, async (t) => {
          const socket = await connect(stock(t, version, server, { path: '/socket.io', transports }));
          const gone = [];
          socket.on('disconnect', (reason) => gone.push(reason));
          await sleep(4 * (TIMING.pingInterval + TIMING.pingTimeout));
          assert.equal(await call(socket, 'message-with-ack', 'still there'), 'still there');
          assert.deepEqual(gone, []);
        });
      }
    }
  });
});
