import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { MAX_PAYLOAD, startEcho, TIMING } from './echo.mjs';
import { barrier, Endpoint } from './engine.mjs';
import { fetchText } from './http.mjs';
import { REFERENCE, scenario } from './scenario.mjs';

/** What the handshake must say; the reference of revision 3 does not know `maxPayload`. */
export function assertHandshake(handshake, upgrades, revision) {
  const { sid, maxPayload, ...rest } = handshake;
  assert.equal(typeof sid, 'string');
  assert.deepEqual(rest, { upgrades, pingInterval: TIMING.pingInterval, pingTimeout: TIMING.pingTimeout });
  if (revision === 4 || maxPayload !== undefined) assert.equal(maxPayload, MAX_PAYLOAD);
}

/** Asserts that a poll or a POST of `address` finds no session any more. */
export async function assertGone(address, options) {
  const { status, text } = await fetchText(address, options);
  assert.equal(status, 400, text);
}

/**
 * The parts of the official suites that Engine.IO's and Socket.IO's have in common: handshake, heartbeat, close
 * and upgrade. `target()` is the endpoint; `echoes` whether a message comes back, to see that a session lives.
 */
export function transportSuite(target, revision, { echoes, node = {} }) {
  const ping = (packet) => ({ 3: ['2', '3'], 4: ['3', '2'] })[revision][packet];
  const encode = (...packets) => target().codec.encode(packets);

  describe('handshake over polling', () => {
    scenario('opens a session', async () => {
      const { handshake } = await target().open();
      assertHandshake(handshake, ['websocket'], revision);
    });

    scenario(
      'is refused without a revision, or with one that does not exist',
      async () => {
        for (const EIO of [undefined, 'abc']) {
          assert.equal((await fetchText(target().at({ EIO }))).status, 400, `EIO=${EIO}`);
        }
      },
      { node: node.revision },
    );

    scenario('is refused without a transport, or with one that does not exist', async () => {
      for (const transport of [undefined, 'abc']) {
        assert.equal((await fetchText(target().at({ transport }))).status, 400, `transport=${transport}`);
      }
    });

    scenario('is refused with another method than GET', async () => {
      for (const method of ['POST', 'PUT']) {
        assert.equal((await fetchText(target().at(), { method, body: '' })).status, 400, method);
      }
    });
  });

  describe('handshake over WebSocket', () => {
    scenario('opens a session', async (t) => {
      const socket = await target().connect();
      t.after(() => socket.close());
      assertHandshake(socket.handshake, [], revision);
    });

    scenario(
      'is refused without a revision, or with one that does not exist',
      async () => {
        for (const EIO of [undefined, 'abc']) await target().socket({ EIO }).end();
      },
      { node: node.revision },
    );

    scenario('is refused without a transport, or with one that does not exist', async () => {
      for (const transport of [undefined, 'abc']) await target().socket({ transport }).end();
    });
  });

  describe('heartbeat over polling', () => {
    scenario('is kept up', async () => {
      const begun = performance.now();
      const session = await target().open();
      for (let n = 0; n < 3; n += 1) {
        if (revision === 3) await session.send(ping(0));
        const { status, text } = await session.poll();
        assert.deepEqual([status, text], [200, encode(ping(1))]);
        if (revision === 4) {
          assert.ok(
            performance.now() - begun > (n + 1) * TIMING.pingInterval - 10,
            `ping ${n + 1} came after ${performance.now() - begun} ms`,
          );
          await session.send(ping(0));
        }
      }
    });

    scenario('ends a session that does not keep it up', async () => {
      const session = await target().open();
      await sleep(TIMING.pingInterval + TIMING.pingTimeout + TIMING.slack);
      if (revision === 3) await assertGone(session.address, { method: 'POST', body: encode(ping(0)) });
      await assertGone(session.address);
    });
  });

  describe('heartbeat over WebSocket', () => {
    scenario('is kept up', async (t) => {
      const begun = performance.now();
      const socket = await target().connect();
      t.after(() => socket.close());
      for (let n = 0; n < 3; n += 1) {
        if (revision === 3) socket.send(ping(0));
        assert.equal(await socket.next(), ping(1));
        if (revision === 4) {
          assert.ok(performance.now() - begun > (n + 1) * TIMING.pingInterval - 10, 'a ping came too early');
          socket.send(ping(0));
        }
      }
    });

    scenario('closes a WebSocket that does not keep it up', async () => {
      const begun = performance.now();
      const socket = await target().connect();
      await socket.end();
      const lasted = performance.now() - begun;
      assert.ok(lasted > TIMING.pingInterval + TIMING.pingTimeout - 10, `it was closed after ${lasted} ms`);
    });
  });

  describe('close', () => {
    scenario('packet over polling ends the session, and the poll that waits', async () => {
      const session = await target().open();
      const poll = session.begin();
      await barrier(target());
      await session.send('1');
      const { status, text } = await poll.answered;
      assert.deepEqual([status, text], [200, encode('6')]);
      await assertGone(session.address);
    });

    scenario('packet over WebSocket closes it', async () => {
      const socket = await target().connect();
      socket.send('1');
      await socket.end();
    });
  });

  describe('upgrade', () => {
    async function probed(t) {
      const session = await target().open();
      const socket = target().socket({ sid: session.sid });
      t.after(() => socket.close());
      await socket.open();
      socket.answersPings = revision === 4;
      socket.send('2probe');
      assert.equal(await socket.next(), '3probe');
      return { session, socket };
    }

    async function assertAlive(socket) {
      if (!echoes) return;
      socket.send('4hello');
      assert.equal(await socket.next(), '4hello');
    }

    scenario('goes from polling to WebSocket, a poll meanwhile being answered by a noop', async (t) => {
      const { session, socket } = await probed(t);
      const { status, text } = await session.poll();
      assert.deepEqual([status, text], [200, encode('6')]);
      socket.send('5');
      await assertAlive(socket);
    });

    scenario('leaves no session for polls', async (t) => {
      const { session, socket } = await probed(t);
      socket.send('5');
      if (echoes) await assertAlive(socket);
      else await barrier(target());
      await assertGone(session.address);
      await assertAlive(socket);
    });

    scenario('leaves no session for a second WebSocket', async (t) => {
      const { session, socket } = await probed(t);
      socket.send('5');
      const second = target().socket({ sid: session.sid });
      t.after(() => second.close());
      await second.end();
      await assertAlive(socket);
    });
  });
}

/** The official suite of Engine.IO, revision 3 or 4, against an application that sends every message back. */
export function engineSuite(revision, { args, node, name }) {
  describe(`Engine.IO, revision ${revision}${name ? `, ${name}` : ''}`, () => {
    let echo;
    let endpoint;
    before(async () => {
      echo = await startEcho({ node: args });
      endpoint = new Endpoint(echo.engine, '/engine.io/', revision);
    });
    after(() => echo?.stop());
    const encode = (...packets) => endpoint.codec.encode(packets);

    transportSuite(() => endpoint, revision, { echoes: true, node });

    describe('message over polling', () => {
      const binary = { 3: 'b4AQIDBA==', 4: 'bAQIDBA==' }[revision];
      const payloads = {
        'one text': ['4hello'],
        'several texts': ['4test1', '4test2', '4test3'],
        'text and binary, in base64': ['4hello', binary],
      };
      for (const [what, packets] of Object.entries(payloads)) {
        scenario(`${what} comes back`, async () => {
          const session = await endpoint.open({ b64: revision === 3 ? 1 : undefined });
          await session.send(...packets);
          const { status, text } = await session.poll();
          assert.deepEqual([status, text], [200, encode(...packets)]);
        });
      }

      if (revision === 3) {
        scenario('text and binary comes back as bytes to who takes them', async () => {
          const session = await endpoint.open();
          await session.send('4hello', binary);
          const { status, headers, bytes } = await session.poll();
          assert.equal(status, 200);
          assert.equal(headers['content-type'], 'application/octet-stream');
          // Each packet: text or binary, the digits of its length, 255, its type (a character or a number), its data.
          const expected = [0, 6, 255, ...Buffer.from('4hello'), 1, 5, 255, 4, 1, 2, 3, 4];
          assert.deepEqual([...bytes], expected);
        });
      }

      scenario('that is no packet ends the session', async () => {
        const session = await endpoint.open();
        // The reference hangs up or says `ok`, as it happens; the suite takes either.
        const { status } = await session.post('abc').catch(() => ({ status: 400 }));
        if (!REFERENCE) assert.equal(status, 400);
        await assertGone(session.address);
      });
    });

    describe('polls', () => {
      scenario(
        'that overlap end the session',
        async () => {
          const session = await endpoint.open();
          const answers = await Promise.all([session.poll(), session.poll()]);
          answers.sort((a, b) => a.status - b.status);
          assert.deepEqual([answers[0].status, answers[0].text], [200, encode('1')]);
          assert.ok([400, 500].includes(answers[1].status), `${answers[1].status}`);
          await assertGone(session.address);
        },
        {},
      );

      scenario('whose client hangs up end the session', async () => {
        const session = await endpoint.open();
        const poll = session.begin();
        await barrier(endpoint);
        poll.abort();
        await assertGone(session.address);
      });
    });

    describe('message over WebSocket', () => {
      scenario('a text comes back', async (t) => {
        const socket = await endpoint.connect();
        t.after(() => socket.close());
        socket.send('4hello');
        assert.equal(await socket.next(), '4hello');
      });

      scenario('bytes come back', async (t) => {
        const socket = await endpoint.connect();
        t.after(() => socket.close());
        const bytes = Buffer.from(revision === 3 ? [4, 1, 2, 3, 4] : [1, 2, 3, 4]);
        socket.send(bytes);
        assert.deepEqual(await socket.next(), bytes);
      });

      scenario('that is no packet closes the WebSocket', async () => {
        const socket = await endpoint.connect();
        socket.send('abc');
        await socket.end();
      });
    });

    // What follows is not in the official suites.
    describe('what is against the protocol', () => {
      const wrong = { 3: '3', 4: '2' }[revision];

      scenario(`${wrong}, a heartbeat in the wrong direction, closes a WebSocket`, async () => {
        const socket = await endpoint.connect();
        socket.send(wrong);
        await socket.end();
      });

      scenario(
        `${wrong}, a heartbeat in the wrong direction, ends a session on polling`,
        async () => {
          const session = await endpoint.open();
          await session.post(encode(wrong)).catch(() => {});
          await assertGone(session.address);
        },
        { node: node.direction },
      );

      scenario('a message over the maximum closes a WebSocket with 1009', async () => {
        const socket = await endpoint.connect();
        socket.send(`4${'x'.repeat(MAX_PAYLOAD)}`);
        assert.equal((await socket.end()).code, 1009);
      });

      scenario(
        'a body over the maximum is answered with 413',
        async () => {
          const session = await endpoint.open();
          const { status } = await session.post(encode(`4${'x'.repeat(MAX_PAYLOAD)}`));
          assert.equal(status, 413);
        },
        { node: node.tooLarge },
      );

      scenario('a message of just the maximum comes back', async (t) => {
        const socket = await endpoint.connect();
        t.after(() => socket.close());
        socket.answersPings = revision === 4;
        const message = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
        socket.send(message);
        assert.ok((await socket.next()) === message, 'another message came back');
      });
    });

    describe('text', () => {
      const TEXTS = ['', 'ü', '東京', '\ud83d\ude00', '\u0000\u001f', 'a:b', '5:4hello', '\u2028', 'x'.repeat(70_000)];
      for (const how of ['open', 'connect']) {
        scenario(`of every kind comes back over ${how === 'open' ? 'polling' : 'WebSocket'}`, async (t) => {
          const connection = await endpoint[how]({ b64: revision === 3 ? 1 : undefined });
          if (how === 'connect') {
            t.after(() => connection.close());
            connection.answersPings = revision === 4;
          }
          for (const text of TEXTS) {
            await connection.send(`4${text}`);
            const echoed = await connection.next();
            assert.ok(echoed === `4${text}`, `${JSON.stringify(text).slice(0, 40)} came back otherwise`);
          }
        });
      }
    });
  });
}
