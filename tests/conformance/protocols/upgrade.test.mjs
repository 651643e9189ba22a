import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { io } from 'socket.io-client';
import io2 from 'socket.io-client-2';

import { once, until } from '../lib/wait.mjs';
import { acknowledged, Endpoint, enter } from '../lib/engine.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { startPublisher } from '../lib/publisher.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/server.mjs';

const CLIENTS = { '4.x': io, '2.x': io2 };
const EVENTS_A_SECOND = 40;
/** The reference gives up a silent probe after 10 s, and what happens then must be seen. */
const PAST_THE_PROBE_MS = 11_500;

/** A stock client with its default options that authenticates and subscribes whenever it connects. */
function subscriber(t, version, url, organization_id, publisher) {
  const socket = CLIENTS[version](url, {
    path: '/ws',
    forceNew: true,
    autoConnect: false,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
  });
  t.after(() => socket.disconnect());
  /** What came in each connection since it subscribed, and how far the publisher was then. */
  const spans = [];
  const client = { socket, spans, disconnects: [], early: [] };
  socket.on('disconnect', (reason) => client.disconnects.push(reason));
  socket.on('kpi:update', ({ n }) => {
    const span = spans.at(-1);
    if (span?.open) span.received.push(n);
    else client.early.push(n);
  });
  socket.on('disconnect', () => {
    if (spans.length > 0) spans.at(-1).open = false;
  });
  socket.on('connect', () => {
    const { recovered } = socket;
    // It goes on where it was: nothing is missed in between.
    if (recovered) spans.push({ open: true, follows: spans.at(-1).received.at(-1), received: [] });
    socket.emit('authenticate', { user_id: 'user_1', organization_id }, ({ success }) => {
      assert.equal(success, true);
      socket.emit('subscribe', { channels: ['kpi'] }, (answer) => {
        assert.equal(answer.success, true);
        if (!recovered) spans.push({ open: true, begun: publisher.begun, received: [] });
      });
    });
  });

  return Object.assign(client, {
    transport: () => socket.io.engine.transport.name,
    /** Resolves once everything that was published until now has come. */
    async caughtUp() {
      const last = publisher.done - 1;
      await until(
        () => spans.at(-1)?.received.at(-1) >= last,
        () => `the event ${last}; the last that came is ${spans.at(-1)?.received.at(-1)}`,
      );
    },
    assertComplete() {
      assert.deepEqual(client.early, [], 'events came before the subscription was answered');
      for (const { begun, follows, received } of spans) {
        if (received.length === 0) continue;
        const [first] = received;
        if (follows !== undefined) assert.equal(first, follows + 1, 'the first event behind the break');
        else assert.ok(first <= begun, `the first event is ${first}, the subscription is older than ${begun}`);
        const expected = Array.from({ length: received.length }, (_, n) => first + n);
        assert.deepEqual(received, expected, 'an event was lost, repeated or out of order');
      }
    },
  });
}

// All at once: most of them wait for the reference's ten seconds of patience with a silent probe.
describe('upgrades', { concurrency: true }, () => {
  describe('an upgrade from polling, with events all along', { concurrency: true }, () => {
    const organization_id = freshOrganization();
    let server;
    let publisher;
    before(async () => {
      server = await startServer();
      publisher = startPublisher(server, organization_id, EVENTS_A_SECOND);
    });
    after(async () => {
      await publisher?.stop();
      await server?.stop();
    });

    async function through(t, version, settings) {
      const proxy = await startProxy(server.port, settings);
      t.after(() => proxy.close());
      return { proxy, client: subscriber(t, version, proxy.url, organization_id, publisher) };
    }

    for (const version of Object.keys(CLIENTS)) {
      for (const [fault, lasts] of [
        ['freezes', PAST_THE_PROBE_MS],
        ['passes upwards only', PAST_THE_PROBE_MS],
        ['passes downwards only', PAST_THE_PROBE_MS],
        ['cuts after the 101', 3_000],
      ]) {
        scenario(`${version} keeps its session on polling where the WebSocket ${fault}`, async (t) => {
          const { proxy, client } = await through(t, version, { fault });
          const connected = once(client.socket, 'connect');
          client.socket.connect();
          await connected;
          await sleep(lasts);
          await client.caughtUp();
          t.diagnostic(`${client.spans[0].received.length} events, ${proxy.requests} requests`);

          client.assertComplete();
          assert.deepEqual(client.disconnects, []);
          assert.equal(client.transport(), 'polling');
          assert.equal(proxy.upgrades, 1);
          const bound = 2 * client.spans[0].received.length + 150;
          assert.ok(proxy.requests < bound, `${proxy.requests} requests for ${client.spans[0].received.length} events`);
        });
      }

      for (const delayMs of [0, 30, 200, 400]) {
        scenario(`${version} gets to WebSocket over a network that takes ${delayMs} ms each way`, async (t) => {
          const { proxy, client } = await through(t, version, { delayMs });
          const connected = once(client.socket, 'connect').then(() => ({
            requests: proxy.requests,
            spoken: proxy.spoken,
            transport: client.transport(),
          }));
          const begun = performance.now();
          client.socket.connect();
          const then = await connected;
          const took = performance.now() - begun;
          await until(() => client.transport() === 'websocket' && client.spans.length > 0, 'the upgrade');
          const upgradedAfter = performance.now() - begun;
          await sleep(500);
          await client.caughtUp();
          t.diagnostic(
            `connected after ${took.toFixed()} ms, upgraded after ${upgradedAfter.toFixed()} ms, ${proxy.requests} requests`,
          );

          client.assertComplete();
          assert.deepEqual(client.disconnects, []);
          // The handshake and the CONNECT with its poll, there and back: four ways, as long as no upgrade is waited
          // for. These are counted, since a busy machine takes time of its own.
          if (delayMs < 100) return;
          assert.ok(then.requests <= 3, `connecting took ${then.requests} requests`);
          assert.deepEqual([then.transport, then.spoken], ['polling', 0]);
        });
      }
    }
  });

  describe('an upgrade that is cut after its probe was answered', { concurrency: true }, () => {
    const organization_id = freshOrganization();
    let server;
    let publisher;
    before(async () => {
      // What a stock client makes of it is a transport that it has paused and a ping that it misses.
      server = await startServer({ ping_interval_ms: 1000, ping_timeout_ms: 1000 });
      publisher = startPublisher(server, organization_id, EVENTS_A_SECOND);
    });
    after(async () => {
      await publisher?.stop();
      await server?.stop();
    });

    for (const version of Object.keys(CLIENTS)) {
      scenario(`${version} comes back and misses nothing from its new subscription on`, async (t) => {
        let release;
        const hold = new Promise((resolve) => (release = resolve));
        const proxy = await startProxy(server.port, { fault: 'cuts after 3probe', faults: 1, hold });
        t.after(() => proxy.close());
        const client = subscriber(t, version, proxy.url, organization_id, publisher);
        client.socket.connect();
        await until(() => client.spans[0]?.received.length > 5, 'some events before the upgrade');
        release();
        await until(
          () => client.spans.length === 2 && client.transport() === 'websocket',
          'the second upgrade',
          20_000,
        );
        await sleep(500);
        await client.caughtUp();
        t.diagnostic(`${client.disconnects}; ${client.spans.map(({ received }) => received.length)} events`);
        client.assertComplete();
        assert.equal(client.disconnects.length, 1);
      });
    }
  });

  for (const revision of [4, 3]) {
    describe(`an upgrade by hand, revision ${revision}`, { concurrency: true }, () => {
      let server;
      let endpoint;
      before(async () => {
        server = await startServer({ max_connections_per_org: 1 });
        endpoint = new Endpoint(server.url, '/ws/', revision);
      });
      after(() => server?.stop());

      /** A polling session that is subscribed to its organization's kpi. */
      async function subscribed() {
        const organization_id = freshOrganization();
        const session = await enter(await endpoint.open(), revision, { organization_id, channels: ['kpi'] });
        return { session, publish: (n) => server.broadcast('/kpi', { organization_id, n }) };
      }

      async function probe(t, session) {
        const socket = endpoint.socket({ sid: session.sid });
        t.after(() => socket.close());
        await socket.open();
        socket.send('2probe');
        assert.equal(await socket.next(), '3probe');
        return socket;
      }

      const assertEvent = (packet, n) => assert.match(packet, new RegExp(`^42\\["kpi:update",\\{.*"n":${n}\\}`));

      scenario('a poll that waits is released when the probe is answered', async (t) => {
        const { session } = await subscribed();
        const poll = session.begin();
        await probe(t, session);
        const { status, text } = await poll.answered;
        assert.deepEqual([status, text], [200, endpoint.codec.encode(['6'])]);
      });

      scenario('polling delivers between the probe and the end of the upgrade', async (t) => {
        const { session, publish } = await subscribed();
        const socket = await probe(t, session);
        for (let n = 0; n < 3; n += 1) {
          await publish(n);
          assertEvent(await session.next(), n);
        }
        await publish(3);
        socket.send('5');
        assertEvent(await socket.next(), 3);
      });

      scenario('what no poll fetched follows on the WebSocket, in order', async (t) => {
        const { session, publish } = await subscribed();
        const socket = await probe(t, session);
        for (let n = 0; n < 50; n += 1) await publish(n);
        socket.send('5');
        for (let n = 50; n < 60; n += 1) await publish(n);
        for (let n = 0; n < 60; n += 1) assertEvent(await socket.next(), n);
      });

      for (const when of ['before the end of the upgrade', 'with a poll under way']) {
        scenario(
          `a session that is closed ${when} has its last answers, and its end, on the WebSocket`,
          async (t) => {
            const organization_id = freshOrganization();
            const holder = await enter(await endpoint.open(), revision, { organization_id });
            const session = await enter(await endpoint.open(), revision);
            if (when === 'with a poll under way') session.begin();
            const socket = await probe(t, session);
            // The poll, if there is one, is answered with nothing, and no other follows.
            await session.send(`421["authenticate",{"user_id":"user_2","organization_id":"${organization_id}"}]`);
            socket.send('5');
            const { error } = acknowledged(await socket.next(), 1);
            assert.equal(error.code, 'CONNECTION_LIMIT');
            assert.equal((await socket.end()).code, 1013);
            await holder.send('1');
          },
          ORGCAST_ONLY,
        );
      }

      scenario('a second probe is closed, and the first goes on', async (t) => {
        const { session, publish } = await subscribed();
        const first = await probe(t, session);
        const second = endpoint.socket({ sid: session.sid });
        t.after(() => second.close());
        await second.end();
        first.send('5');
        await publish(0);
        assertEvent(await first.next(), 0);
      });

      scenario('a probe that says something else is closed, and the session goes on', async (t) => {
        const { session, publish } = await subscribed();
        const socket = endpoint.socket({ sid: session.sid });
        t.after(() => socket.close());
        await socket.open();
        socket.send('42["client:ping"]');
        await socket.end();
        await publish(0);
        assertEvent(await session.next(), 0);
        const again = await probe(t, session);
        again.send('5');
        await publish(1);
        assertEvent(await again.next(), 1);
      });

      scenario('a probe that goes away after its answer leaves the session as it was', async (t) => {
        const { session, publish } = await subscribed();
        for (let n = 0; n < 3; n += 1) {
          const socket = await probe(t, session);
          socket.socket.terminate();
          await publish(n);
          assertEvent(await session.next(), n);
        }
        const socket = await probe(t, session);
        socket.send('5');
        await publish(3);
        assertEvent(await socket.next(), 3);
      });

      scenario('a probe that is silent is closed after ten seconds, and the session goes on', async (t) => {
        const { session, publish } = await subscribed();
        const begun = performance.now();
        const socket = endpoint.socket({ sid: session.sid });
        t.after(() => socket.close());
        await socket.open();
        await socket.end(20_000);
        const lasted = performance.now() - begun;
        assert.ok(lasted > 9_000, `it was closed after ${lasted} ms`);
        await publish(0);
        assertEvent(await session.next(), 0);
      });
    });
  }
});
