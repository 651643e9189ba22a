import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { startEcho } from '../lib/echo.mjs';
import { Endpoint } from '../lib/engine.mjs';
import { transportSuite } from '../lib/engine-suite.mjs';
import { scenario } from '../lib/scenario.mjs';

describe('Socket.IO, revision 5', () => {
  let echo;
  let endpoint;
  before(async () => {
    echo = await startEcho();
    endpoint = new Endpoint(echo.socket, '/socket.io/');
  });
  after(() => echo?.stop());

  transportSuite(() => endpoint, 4, { echoes: false });

  /** A WebSocket after Engine.IO's handshake. */
  async function opened(t) {
    const socket = await endpoint.connect();
    t.after(() => socket.close());
    socket.answersPings = true;
    return socket;
  }

  /** Sends a CONNECT and checks both answers of the application: the connection, and the payload it saw. */
  async function connect(socket, namespace, payload) {
    const prefix = namespace === '/' ? '' : `${namespace},`;
    socket.send(`40${prefix}${payload === undefined ? '' : JSON.stringify(payload)}`);
    const answer = await socket.next();
    assert.ok(answer.startsWith(`40${prefix}{`), answer);
    const { sid, ...rest } = JSON.parse(answer.slice(2 + prefix.length));
    assert.equal(typeof sid, 'string');
    assert.deepEqual(rest, {});
    assert.equal(await socket.next(), `42${prefix}["auth",${JSON.stringify(payload ?? {})}]`);
    return sid;
  }

  async function connected(t) {
    const socket = await opened(t);
    await connect(socket, '/');
    return socket;
  }

  describe('connect', () => {
    for (const namespace of ['/', '/custom']) {
      for (const payload of [undefined, { token: '123' }]) {
        scenario(`to ${namespace} ${payload ? 'with a payload' : 'without a payload'}`, async (t) => {
          const socket = await opened(t);
          const sid = await connect(socket, namespace, payload);
          assert.notEqual(sid, socket.handshake.sid, "the id is the transport session's");
        });
      }
    }

    scenario('to a namespace that does not exist is refused', async (t) => {
      const socket = await opened(t);
      socket.send('40/random');
      assert.equal(await socket.next(), '44/random,{"message":"Invalid namespace"}');
    });

    scenario('that is no packet closes the connection', async (t) => {
      const socket = await opened(t);
      socket.send('4abc');
      await socket.end();
    });

    scenario('that does not come closes the connection', async () => {
      // Pings stay unanswered here, so that it is over one way or the other.
      const socket = await endpoint.connect();
      await socket.end();
    });
  });

  describe('disconnect', () => {
    scenario('from the main namespace leaves the transport open', async (t) => {
      const socket = await connected(t);
      socket.answersPings = false;
      socket.send('41');
      assert.equal(await socket.next(), '2');
    });

    scenario('from a custom namespace leaves the main one connected', async (t) => {
      const socket = await connected(t);
      await connect(socket, '/custom');
      socket.send('41/custom', '42["message","message to main namespace"]');
      assert.equal(await socket.next(), '42["message-back","message to main namespace"]');
    });
  });

  describe('message', () => {
    const ATTACHMENTS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
    const BYTES = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

    async function assertNext(socket, expected) {
      for (const message of expected) assert.deepEqual(await socket.next(), message);
    }

    scenario('of text is answered', async (t) => {
      const socket = await connected(t);
      socket.send('42["message",1,"2",{"3":[true]}]');
      await assertNext(socket, ['42["message-back",1,"2",{"3":[true]}]']);
    });

    scenario('with binary attachments is answered with them', async (t) => {
      const socket = await connected(t);
      socket.send(`452-["message",${ATTACHMENTS}]`, ...BYTES);
      await assertNext(socket, [`452-["message-back",${ATTACHMENTS}]`, ...BYTES]);
    });

    scenario('of text is acknowledged', async (t) => {
      const socket = await connected(t);
      socket.send('42456["message-with-ack",1,"2",{"3":[false]}]');
      await assertNext(socket, ['43456[1,"2",{"3":[false]}]']);
    });

    scenario('with binary attachments is acknowledged with them', async (t) => {
      const socket = await connected(t);
      socket.send(`452-789["message-with-ack",${ATTACHMENTS}]`, ...BYTES);
      await assertNext(socket, [`462-789[${ATTACHMENTS}]`, ...BYTES]);
    });

    // What follows is not in the official suite.
    const broken = {
      'bytes that belong to no packet': [Buffer.from([1])],
      'text in the place of an attachment': ['451-["message",{"_placeholder":true,"num":0}]', '42["message",1]'],
      'a placeholder for an attachment that there is not': [
        '451-["message",{"_placeholder":true,"num":1}]',
        Buffer.from([1]),
      ],
      'a placeholder with a negative number': ['451-["message",{"_placeholder":true,"num":-1}]', Buffer.from([1])],
      'a placeholder without a number': ['451-["message",{"_placeholder":true}]', Buffer.from([1])],
      'more attachments than anybody needs': ['451000-["message"]'],
      'no number of attachments': ['45-["message",{"_placeholder":true,"num":0}]'],
      'no dash behind the number of attachments': ['451["message",{"_placeholder":true,"num":0}]'],
    };
    for (const [what, messages] of Object.entries(broken)) {
      scenario(`with ${what} closes the connection`, async (t) => {
        const socket = await connected(t);
        socket.send(...messages);
        await socket.end();
      });
    }

    scenario('with bytes is kept apart from one behind it', async (t) => {
      const socket = await connected(t);
      const packets = [`452-["message",${ATTACHMENTS}]`, ...BYTES, '42["message",2]', `452-["message",${ATTACHMENTS}]`];
      socket.send(...packets, ...BYTES);
      await assertNext(socket, [
        `452-["message-back",${ATTACHMENTS}]`,
        ...BYTES,
        '42["message-back",2]',
        `452-["message-back",${ATTACHMENTS}]`,
        ...BYTES,
      ]);
    });

    scenario('with what looks like a placeholder and is none comes back as it is', async (t) => {
      const socket = await connected(t);
      socket.send('42["message",{"_placeholder":true,"num":0}]');
      await assertNext(socket, ['42["message-back",{"_placeholder":true,"num":0}]']);
    });

    const invalid = {
      'of an unknown type': '4abc',
      'with an object for a payload': '42{}',
      'with letters for an acknowledgement id': '42abc["message-with-ack",1,"2",{"3":[false]}]',
    };
    for (const [what, packet] of Object.entries(invalid)) {
      scenario(`${what} closes the connection`, async (t) => {
        const socket = await connected(t);
        socket.send(packet);
        await socket.end();
      });
    }
  });
});
