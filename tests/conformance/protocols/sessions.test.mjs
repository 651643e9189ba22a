import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe } from 'node:test';

import { until } from '../lib/wait.mjs';
import { acknowledged, barrier, Endpoint, enter } from '../lib/engine.mjs';
import { Wire } from '../lib/frames.mjs';
import { fetchText } from '../lib/http.mjs';
import { ORGCAST_ONLY, REFERENCE, freshOrganization, scenario } from '../lib/scenario.mjs';
import { serverFor, startServer, stats } from '../lib/server.mjs';

const endpointOf = (server, revision = 4) => new Endpoint(server.url, '/ws/', revision);

/** A polling session that is connected to the main namespace, and more if `as` says so. */
async function connected(endpoint, as) {
  return enter(await endpoint.open(), endpoint.revision, as);
}

/** A message that a session answers: see that it lives. */
async function assertAlive(session) {
  await session.send('429["client:ping",{}]');
  assert.match(await session.next(), /^439\[/);
}

async function assertRefused({ status, body }, code, message) {
  assert.equal(status, 400);
  assert.deepEqual(body, { code, message });
}

describe('errors of Engine.IO', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  for (const revision of [4, 3]) {
    scenario(`have numbers for codes, revision ${revision}`, async () => {
      const endpoint = endpointOf(server, revision);
      await assertRefused(await fetchText(endpoint.at({ transport: 'abc' })), 0, 'Transport unknown');
      await assertRefused(await fetchText(endpoint.at({ sid: 'nobody' })), 1, 'Session ID unknown');
      const post = { method: 'POST', body: '' };
      await assertRefused(await fetchText(endpoint.at({ sid: 'nobody' }), post), 1, 'Session ID unknown');
      await assertRefused(await fetchText(endpoint.at(), post), 2, 'Bad handshake method');
      await assertRefused(await fetchText(endpoint.at({ transport: 'websocket' })), 3, 'Bad request');
    });
  }

  scenario(
    'name a revision that is not spoken',
    async () => {
      for (const EIO of ['5', '2', 'abc', '']) {
        const answer = await fetchText(endpointOf(server).at({ EIO }));
        await assertRefused(answer, 5, 'Unsupported protocol version');
      }
    },
    { node: 'takes every revision but 4 for 3' },
  );

  scenario('and answers of polling are kept by no cache, nor those of the API', async () => {
    const session = await connected(endpointOf(server));
    await session.send('420["client:ping",{}]');
    const answers = {
      handshake: await fetchText(endpointOf(server).at()),
      poll: await session.poll(),
      post: await session.post('421["client:ping",{}]'),
      error: REFERENCE ? undefined : await fetchText(endpointOf(server).at({ sid: 'nobody' })),
      api: await server.get('/api/ws/stats'),
      broadcast: await server.post('/api/ws/broadcast/kpi', { organization_id: 'o' }),
      refusal: await server.get('/api/ws/stats?no=such'),
    };
    for (const [what, answer] of Object.entries(answers)) {
      if (answer) assert.equal(answer.headers['cache-control'], 'no-store', what);
    }
  });
});

describe('a session id', () => {
  for (const revision of [4, 3]) {
    scenario(
      `without a value opens no more sessions than there are places, revision ${revision}`,
      async (t) => {
        const server = await serverFor(t, {
          max_connections_total: 5,
          connect_timeout_ms: 1000,
          auth_timeout_ms: 1000,
        });
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        const statuses = [];
        for (let n = 0; n < 50; n += 1) {
          const url = `${server.url}/ws/?EIO=${revision}&transport=polling&sid`;
          statuses.push(
            await new Promise((resolve, reject) => {
              const request = http.get(url, { agent }, (response) => {
                response.resume();
                response.on('end', () => resolve(response.statusCode));
              });
              request.on('error', reject);
            }),
          );
        }
        assert.ok(statuses.filter((status) => status === 200).length <= 5, `${statuses}`);
        assert.ok((await stats(server)).places_taken <= 5);
        // None of them connects, so that each loses its place.
        await until(async () => (await stats(server)).places_taken === 0, 'the places to be free again');
      },
      ORGCAST_ONLY,
    );

    for (const [how, query] of [
      ['behind an empty one', (sid) => `sid&sid=${sid}`],
      ['before an empty one', (sid) => `sid=${sid}&sid`],
      ['twice', (sid) => `sid=${sid}&sid=${sid}`],
    ]) {
      scenario(
        `${how} passes no limit of a connection, revision ${revision}`,
        async (t) => {
          const server = await serverFor(t, { rate_limit_messages_per_second: 10, rate_limit_close_after_ms: 0 });
          const endpoint = endpointOf(server, revision);
          const session = await connected(endpoint);
          const url = `${server.url}/ws/?EIO=${revision}&transport=polling&${query(session.sid)}`;
          const begun = performance.now();
          for (let n = 0; n < 10; n += 1) {
            const packets = Array.from({ length: 10 }, (_, at) => `42${n * 10 + at}["client:ping",{}]`);
            const { status } = await fetchText(url, { method: 'POST', body: endpoint.codec.encode(packets) });
            // Refusing the address is as good as counting what comes by it.
            if (status !== 200) assert.equal(status, 400);
          }
          let answered = 0;
          for (let last = 100, done = false; !done; last += 1) {
            await session.send(`42${last}["client:ping",{}]`);
            // One that is over the rate may be answered by an event, or as it asked.
            for (let heard = false; !heard;) {
              const packet = await session.next();
              if (packet.includes('server_time')) answered += 1;
              done = packet.startsWith(`43${last}[`) && packet.includes('server_time');
              heard = done || (session.waiting.length === 0 && !packet.includes('server_time'));
            }
          }
          const seconds = (performance.now() - begun) / 1000;
          assert.ok(answered <= 10 + 10 * seconds + 1, `${answered} were answered in ${seconds} s`);
        },
        ORGCAST_ONLY,
      );
    }
  }

  scenario('is another one than the id of the Socket.IO connection', async (t) => {
    const server = await serverFor(t);
    const endpoint = endpointOf(server);
    const session = await endpoint.open();
    await session.send('40');
    const { sid } = JSON.parse((await session.next()).slice(2));
    assert.notEqual(sid, session.sid);
    await assertRefused(await fetchText(endpoint.at({ sid })), 1, 'Session ID unknown');
    await assertAlive(session);
  });
});

describe('a session', { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  for (const [opened, other] of [
    [4, 3],
    [3, 4],
  ]) {
    scenario(
      `of revision ${opened} takes no requests of revision ${other}`,
      async () => {
        const session = await connected(endpointOf(server, opened));
        const foreign = endpointOf(server, other);
        const body = foreign.codec.encode(['420["client:ping",{}]']);
        await assertRefused(
          await fetchText(foreign.at({ sid: session.sid }), { method: 'POST', body }),
          3,
          'Bad request',
        );
        assert.equal((await fetchText(foreign.at({ sid: session.sid }))).status, 400);
        assert.equal(
          (await fetchText(endpointOf(server, opened).at({ sid: session.sid, EIO: undefined }))).status,
          400,
        );
        assert.equal((await foreign.socket({ sid: session.sid }).end()).status, 400);
        await assertAlive(session);
      },
      { node: opened === 3 ? 'takes every revision but 4 for 3' : undefined },
    );
  }

  for (const revision of [4, 3]) {
    const target = (session) => session.address.slice(server.url.length);
    const post = (session, length, part = '') =>
      `POST ${target(session)} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n${part}`;

    scenario(`refuses a POST beside one that is under way, revision ${revision}`, async (t) => {
      const endpoint = endpointOf(server, revision);
      const session = await connected(endpoint);
      const slow = new Wire(server.port);
      t.after(() => slow.destroy());
      const packet = endpoint.codec.encode(['420["client:ping",{}]']);
      slow.write(post(session, packet.length, packet.slice(0, 5)));
      await barrier(endpoint);
      assert.equal((await session.post(packet)).status, 400);
      // The overlap ends the session.
      assert.equal((await session.poll()).status, 400);
    });

    scenario(`ends when its poll is aborted, revision ${revision}`, async () => {
      const endpoint = endpointOf(server, revision);
      const organization_id = freshOrganization();
      const session = await connected(endpoint, { organization_id });
      await server.counts(organization_id, 1);
      const poll = session.begin();
      await barrier(endpoint);
      poll.abort();
      await server.counts(organization_id, 0);
      assert.equal((await session.post('')).status, 400);
    });

    scenario(`gets 1,300 short events between two polls, revision ${revision}`, async () => {
      const endpoint = endpointOf(server, revision);
      const organization_id = freshOrganization();
      const session = await connected(endpoint, { organization_id, channels: ['kpi'] });

      const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
      let next = 0;
      async function publish() {
        while (next < 1300) {
          const body = JSON.stringify({ organization_id, n: next });
          next += 1;
          await new Promise((resolve, reject) => {
            const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
            const url = `${server.url}/api/ws/broadcast/kpi?priority=high`;
            const request = http.request(url, { method: 'POST', headers, agent }, (response) => {
              let text = '';
              response.on('data', (chunk) => (text += chunk));
              response.on('end', () => (text.includes('"recipients":1') ? resolve() : reject(new Error(text))));
            });
            request.on('error', reject);
            request.end(body);
          });
        }
      }
      await Promise.all(Array.from({ length: 16 }, publish));
      agent.destroy();

      const heard = new Set();
      while (heard.size < 1300) {
        const [, payload] = JSON.parse((await session.next()).slice(2));
        assert.ok(!heard.has(payload.n), `${payload.n} came twice`);
        heard.add(payload.n);
      }
      await assertAlive(session);
    });
  }

  scenario(
    'of revision 3 that says nothing loses its place',
    async (t) => {
      // What was sent to it waits to be fetched for as long as a write may take.
      const deadlines = { connect_timeout_ms: 500, auth_timeout_ms: 500, write_timeout_ms: 500 };
      const strict = await serverFor(t, deadlines);
      await endpointOf(strict, 3).open();
      const socket = await endpointOf(strict, 3).connect();
      t.after(() => socket.close());
      await until(async () => (await stats(strict)).places_taken === 0, 'both places to be free');
      await socket.end();
    },
    ORGCAST_ONLY,
  );
});

describe('JSONP, as clients of revision 3 ask for it', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  /** What an answer would call `___eio[j]` with. */
  function called({ status, headers, text }, j) {
    assert.equal(status, 200, text);
    // What a browser runs as a script; the reference says text/plain, which it does unless told not to guess.
    assert.match(
      headers['content-type'],
      /^(text|application)\/javascript; charset=utf-8$|^text\/plain; charset=utf-8$/i,
    );
    if (headers['content-type'].startsWith('text/plain')) assert.equal(headers['x-content-type-options'], undefined);
    const prefix = `___eio[${j}](`;
    assert.ok(text.startsWith(prefix) && text.endsWith(');'), text);
    return JSON.parse(text.slice(prefix.length, -2));
  }

  // As the client's form does: line feeds are written `\n`, and what was written `\n` gets a second backslash.
  const form = (payload) =>
    new URLSearchParams({ d: payload.replace(/\\n/g, '\\\\n').replace(/\n/g, '\\n') }).toString();

  for (const extra of [{}, { b64: 1 }]) {
    scenario(`works both ways ${extra.b64 ? 'with' : 'without'} b64`, async () => {
      const endpoint = endpointOf(server, 3);
      // The place of the client's callback, which it keeps for its session.
      const j = 3;
      const packets = [];
      const opening = called(await fetchText(endpoint.at({ j, ...extra })), j);
      packets.push(...endpoint.codec.decode(opening));
      const { sid, upgrades } = JSON.parse(packets.shift().slice(1));
      assert.ok(Array.isArray(upgrades));
      const next = async () => {
        while (packets.length === 0) {
          packets.push(...endpoint.codec.decode(called(await fetchText(endpoint.at({ sid, j, ...extra })), j)));
        }
        return packets.shift();
      };
      const send = async (packet) => {
        const { status, text } = await fetchText(endpoint.at({ sid, j, ...extra }), {
          method: 'POST',
          headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
          body: form(endpoint.codec.encode([packet])),
        });
        assert.deepEqual([status, text], [200, 'ok']);
      };

      assert.equal(await next(), '40');
      await send(`421["authenticate",{"user_id":"u","organization_id":"${freshOrganization()}"}]`);
      assert.equal(acknowledged(await next(), 1).success, true);
      // Everything that an escape of a form, of JavaScript or of JSON could spoil.
      const said = '100 % & = + ; ü 東 \u2028 \u2029 "quoted" \\ \\n </script> \ud83d\ude00';
      await send(`420${JSON.stringify(['client:ping', { said }])}`);
      assert.deepEqual(acknowledged(await next(), 0).data, { said });
    });
  }
});
