import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';
import { WebSocket as UndiciWebSocket } from 'undici';
import WebSocket from 'ws';

import { once, until, within } from '../lib/wait.mjs';
import { servePages } from '../lib/pages.mjs';
import { startBrowser } from '../lib/browser.mjs';
import { Endpoint } from '../lib/engine.mjs';
import { CLOSE, PING, TEXT, Wire, closing, frame, upgradeRequest, wire } from '../lib/frames.mjs';
import { REFERENCE, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/server.mjs';

const ENGINE = { name: 'Engine.IO', target: '/ws/?EIO=4&transport=websocket' };
const PLAIN = { name: 'plain', target: '/ws' };
const DOORS = REFERENCE ? [ENGINE] : [ENGINE, PLAIN];

describe('a WebSocket', { concurrency: true }, () => {
  let server;
  let pages;
  let browser;
  before(async () => {
    pages = await servePages({ '/': '<!doctype html><title>A page</title>' });
    server = await startServer({ cors_origins: pages.origin });
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    pages?.close();
    await server?.stop();
  });

  /** A connection on which a request with an acknowledgement is answered. */
  async function ready(t, door) {
    const connection = await wire(t, server.port, door.target);
    if (door === ENGINE) {
      const { payload } = await connection.frame();
      assert.equal(payload.toString()[0], '0');
      connection.write(frame(TEXT, '40'));
      assert.match((await connection.frame()).payload.toString(), /^40/);
    }
    return connection;
  }

  const request = (door, id) =>
    door === ENGINE ? `42${id}["client:ping",{}]` : JSON.stringify({ event: 'client:ping', data: {}, id });
  const isReply = (door, id, text) => (door === ENGINE ? text.startsWith(`43${id}[`) : JSON.parse(text).id === id);

  for (const door of DOORS) {
    describe(`of the ${door.name} door`, { concurrency: true }, () => {
      const address = () => `${server.wsUrl}${door.target}`;

      scenario('confirms the first subprotocol that `ws` offers, and none where none is', async () => {
        for (const [offered, chosen] of [
          [['first', 'second'], 'first'],
          [['one'], 'one'],
          [[], ''],
        ]) {
          const socket = new WebSocket(address(), offered);
          await once(socket, 'open');
          assert.equal(socket.protocol, chosen);
          socket.terminate();
        }
      });

      scenario('confirms the first subprotocol that undici offers', async () => {
        const socket = new UndiciWebSocket(address(), ['first', 'second']);
        const opened = new Promise((resolve, reject) => {
          socket.addEventListener('open', resolve);
          socket.addEventListener('error', ({ error }) => reject(error));
        });
        await within(opened, 'undici to connect');
        assert.equal(socket.protocol, 'first');
        socket.close();
      });

      scenario('confirms the first subprotocol that a browser offers', async (t) => {
        const page = await browser.newPage();
        t.after(() => page.close());
        await page.goto(pages.origin);
        const protocol = await page.evaluate(
          (url) =>
            new Promise((resolve, reject) => {
              const socket = new WebSocket(url, ['first', 'second']);
              socket.onopen = () => resolve(socket.protocol);
              socket.onerror = () => reject(new Error('the browser gave the connection up'));
            }),
          address(),
        );
        assert.equal(protocol, 'first');
      });

      const keys = {
        'no Sec-WebSocket-Key': [],
        'an empty key': [''],
        'a key that is no base64': ['not base64 of 16 bytes !'],
        'a key of 15 bytes': [Buffer.alloc(15, 1).toString('base64')],
        'a key of 17 bytes': [Buffer.alloc(17, 1).toString('base64')],
        'a key without its padding': ['AQEBAQEBAQEBAQEBAQEBAQ'],
        'two keys': [Buffer.alloc(16, 1).toString('base64'), Buffer.alloc(16, 2).toString('base64')],
        'the same key twice': [Buffer.alloc(16, 1).toString('base64'), Buffer.alloc(16, 1).toString('base64')],
      };
      for (const [what, given] of Object.entries(keys)) {
        scenario(`is refused with ${what}`, async (t) => {
          const connection = new Wire(server.port);
          t.after(() => connection.destroy());
          connection.write(upgradeRequest(door.target, { keys: given }));
          assert.equal((await connection.answer()).status, 400);
        });
      }

      const SNOWMAN = Buffer.from('☃');
      const violations = [
        ['text that is no UTF-8', frame(TEXT, Buffer.from([0x34, 0xff, 0xfe])), 1007],
        [
          'text that is no UTF-8 in its second fragment',
          Buffer.concat([frame(TEXT, SNOWMAN.subarray(0, 2), { fin: false }), frame(0, 'x')]),
          1007,
        ],
        ['a close reason that is no UTF-8', frame(CLOSE, Buffer.from([0x03, 0xe8, 0xff])), 1007],
        ['a close frame of one byte', frame(CLOSE, Buffer.from([3])), 1002],
        ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000].map((code) => [
          `the close code ${code}`,
          frame(CLOSE, closing(code)),
          1002,
        ]),
        ['a frame of a reserved kind', frame(3, 'x'), 1002],
        ['a control frame of a reserved kind', frame(11, 'x'), 1002],
        ['a reserved bit', frame(TEXT, '42["x"]', { rsv: 2 }), 1002],
        ['a frame without a mask', frame(TEXT, '42["x"]', { masked: false }), 1002],
        ['a control frame in fragments', frame(PING, 'x', { fin: false }), 1002],
        ['a control frame of 126 bytes', frame(PING, 'x'.repeat(126)), 1002],
        ['a continuation of nothing', frame(0, 'x'), 1002],
        ['a message within a message', Buffer.concat([frame(TEXT, '4', { fin: false }), frame(TEXT, '2')]), 1002],
      ];
      for (const [what, bytes, expected] of violations) {
        scenario(`is closed with ${expected} for ${what}`, async (t) => {
          const connection = await ready(t, door);
          connection.write(bytes);
          assert.equal((await connection.untilClosed()).code, expected);
        });
      }

      scenario(
        'answers what came before a bad frame, then closes',
        async (t) => {
          const connection = await ready(t, door);
          const good = Array.from({ length: 10 }, (_, n) => frame(TEXT, request(door, n)));
          connection.write(Buffer.concat([...good, frame(3, 'x')]));
          const { texts, code } = await connection.untilClosed();
          // What was wrong may be told behind them.
          assert.ok(texts.length >= 10, `${texts}`);
          for (let n = 0; n < 10; n += 1) assert.ok(isReply(door, n, texts[n]), texts[n]);
          assert.equal(code, 1002);
        },
        { node: 'loses the answers' },
      );

      for (const code of [1000, 1001, 1003, 1011, 1012, 1013, 1014, 3000, 4999]) {
        scenario(`answers the close code ${code} with it`, async (t) => {
          const connection = await ready(t, door);
          connection.write(frame(CLOSE, closing(code, 'reason')));
          assert.equal((await connection.untilClosed()).code, code);
        });
      }

      scenario('answers a close frame without a code with one', async (t) => {
        const connection = await ready(t, door);
        connection.write(frame(CLOSE));
        assert.ok([1000, 1005].includes((await connection.untilClosed()).code));
      });

      scenario('takes a message in fragments, with a ping in between, byte by byte', async (t) => {
        const connection = await ready(t, door);
        const text = request(door, 7);
        const bytes = Buffer.concat([
          frame(TEXT, text.slice(0, 5), { fin: false }),
          frame(PING, 'are you there'),
          frame(0, text.slice(5, 9), { fin: false }),
          frame(0, text.slice(9)),
        ]);
        for (const byte of bytes) connection.write(Buffer.from([byte]));
        assert.deepEqual(await connection.frame(), { opcode: 10, payload: Buffer.from('are you there') });
        assert.ok(isReply(door, 7, (await connection.frame()).payload.toString()));
      });
    });
  }

  scenario('that a stock client upgrades to is confirmed with its subprotocol too', async (t) => {
    const socket = io(server.url, { path: '/ws', protocols: ['mine', 'other'], forceNew: true });
    t.after(() => socket.disconnect());
    await once(socket, 'connect');
    await until(() => socket.io.engine.transport.name === 'websocket', 'the upgrade');
    assert.equal(socket.io.engine.transport.ws.protocol, 'mine');
  });

  for (const revision of [3, 4]) {
    scenario(
      `for a session that has moved already is refused with 400, revision ${revision}`,
      async (t) => {
        const endpoint = new Endpoint(server.url, '/ws/', revision);
        const session = await endpoint.open();
        const socket = endpoint.socket({ sid: session.sid });
        t.after(() => socket.close());
        await socket.open();
        socket.send('2probe');
        assert.equal(await socket.next(), '3probe');
        socket.send('5', '40');
        assert.match(await socket.next(), /^40/);
        const second = await endpoint.socket({ sid: session.sid }).end();
        assert.equal(second.status, 400, JSON.stringify(second));
        const born = await endpoint.connect();
        t.after(() => born.close());
        const third = await endpoint.socket({ sid: born.handshake.sid }).end();
        assert.equal(third.status, 400, JSON.stringify(third));
      },
      { node: 'says 101 and closes' },
    );
  }
});
