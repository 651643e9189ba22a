import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';

import { startServer } from '../lib/orgcast.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { once, until } from '../lib/wait.mjs';

/** A TCP proxy that a test cuts, freezes, and closes for a while. */
async function startLine(port) {
  const pairs = new Set();
  let isOpen = true;
  const listener = net.createServer((client) => {
    if (!isOpen) return void client.destroy();
    const upstream = net.connect({ port, host: '127.0.0.1' });
    const pair = { client, upstream };
    pairs.add(pair);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
    }
    client.pipe(upstream);
    upstream.pipe(client);
    client.on('close', () => {
      if (!pair.isFrozen) upstream.destroy();
      pairs.delete(pair);
    });
    upstream.on('close', () => client.destroy());
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const line = {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** Ends every connection, and takes no new ones. */
    cut() {
      isOpen = false;
      for (const { client, upstream } of pairs) {
        client.destroy();
        upstream.destroy();
      }
    },
    /** Ends them for the client; the server hears nothing of it. */
    freeze() {
      for (const pair of pairs) {
        pair.isFrozen = true;
        pair.client.unpipe(pair.upstream);
        pair.upstream.unpipe(pair.client);
        pair.client.destroy();
        left.push(pair.upstream);
      }
    },
    mend() {
      isOpen = true;
    },
    close() {
      line.cut();
      for (const upstream of left) upstream.destroy();
      listener.close();
    },
  };
  const left = [];
  return line;
}

/** A page as people write them: it subscribes on every `connect`. */
function page(t, line, organization_id, options = {}) {
  const { channels = ['kpi'], user_id = 'user_1', ...more } = options;
  const socket = io(line.url, {
    path: '/ws',
    auth: { user_id, organization_id },
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 50,
    ...more,
  });
  t.after(() => socket.disconnect());
  const heard = [];
  const connects = [];
  socket.on('connect', () => {
    connects.push(socket.recovered);
    socket.emit('subscribe', { channels });
  });
  socket.on('kpi:update', (payload) => heard.push(payload.n));
  socket.on('alert:triggered', (payload) => heard.push(payload.n));
  return { socket, heard, connects };
}

const TRANSPORTS = { default: undefined, websocket: ['websocket'], polling: ['polling'] };

describe('a stock client that was away', () => {
  let server;
  before(async () => {
    server = await startServer({ max_connections_per_org: 0, rate_limit_requests_per_second: 0 });
  });
  after(() => server?.stop());

  const publish = (organization_id, n, event = 'kpi') => server.broadcast(`/${event}`, { organization_id, n });

  async function ready(t, options) {
    const organization = freshOrganization();
    const line = await startLine(server.port);
    t.after(() => line.close());
    const { socket, heard, connects } = page(t, line, organization, options);
    const subscribed = once(socket, 'client:subscribe');
    await once(socket, 'connect');
    await subscribed;
    return { organization, line, socket, heard, connects };
  }

  async function away(client, run) {
    const left = once(client.socket, 'disconnect');
    client.line.cut();
    await left;
    await run();
    const back = once(client.socket, 'connect');
    client.line.mend();
    await back;
  }

  /** Waits for a marker, and returns all that was heard. */
  async function heardThrough(client, marker) {
    await publish(client.organization, marker);
    await until(() => client.heard.includes(marker), `the event ${marker}`);
    return client.heard;
  }

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    const options = transports ? { transports } : {};

    scenario(`gets what it missed, in order, once: ${name}`, async (t) => {
      const client = await ready(t, options);
      const id = client.socket.id;
      await publish(client.organization, 1);
      await until(() => client.heard.length === 1, 'the first event');
      for (let n = 2; n <= 16; n += 5) {
        await away(client, async () => {
          for (let more = 0; more < 5; more += 1) await publish(client.organization, n + more);
        });
        assert.equal(client.socket.recovered, true);
        assert.equal(client.socket.id, id, 'it is the same connection');
      }
      const all = await heardThrough(client, 17);
      assert.deepEqual(all, Array.from({ length: 17 }, (_, at) => at + 1));
    });

    scenario(`gets what it missed before any event came: ${name}`, async (t) => {
      const client = await ready(t, options);
      await away(client, async () => {
        await publish(client.organization, 1);
        await publish(client.organization, 2);
      });
      assert.equal(client.socket.recovered, true);
      assert.deepEqual(await heardThrough(client, 3), [1, 2, 3]);
    });

    scenario(`takes over a connection that the server still believes in: ${name}`, async (t) => {
      const client = await ready(t, options);
      await publish(client.organization, 1);
      await until(() => client.heard.length === 1, 'the first event');
      const back = once(client.socket, 'connect');
      client.line.freeze();
      // The server writes these to a connection that nobody reads.
      await publish(client.organization, 2);
      await publish(client.organization, 3);
      await back;
      assert.equal(client.socket.recovered, true);
      assert.deepEqual(await heardThrough(client, 4), [1, 2, 3, 4]);
      await server.counts(client.organization, 1);
    });
  }

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    scenario(`gets more than its queue may hold, and what comes meanwhile behind it: ${name}`, async (t) => {
      const client = await ready(t, transports ? { transports } : {});
      const publishAll = async (first, last) => {
        for (let n = first; n <= last; n += 1) await publish(client.organization, n);
      };
      await publish(client.organization, 1);
      await until(() => client.heard.length === 1, 'the first event');
      await away(client, () => publishAll(2, 3000));
      await publishAll(3001, 3200);
      assert.equal(client.socket.recovered, true);
      const all = await heardThrough(client, 3201);
      assert.deepEqual(all, Array.from({ length: 3201 }, (_, at) => at + 1));
    });
  }

  scenario('hears of a later subscription only what came behind it', async (t) => {
    const client = await ready(t);
    await publish(client.organization, 1);
    await until(() => client.heard.length === 1, 'the first event');
    await publish(client.organization, 100, 'alert');
    await client.socket.emitWithAck('subscribe', { channels: ['alerts'] });
    await away(client, async () => {
      await publish(client.organization, 101, 'alert');
      await publish(client.organization, 2);
    });
    assert.deepEqual(await heardThrough(client, 3), [1, 101, 2, 3]);
  });

  scenario('does not come back to what another person had', async (t) => {
    const client = await ready(t);
    const { organization } = client;
    client.socket.auth = { user_id: 'somebody else', organization_id: organization };
    const answer = once(client.socket, 'authenticated');
    await away(client, () => publish(organization, 1));
    const [authenticated] = await answer;
    assert.equal(client.socket.recovered, false);
    assert.equal(authenticated.user_id, 'somebody else');
    assert.deepEqual([authenticated.recovered, authenticated.reason], [false, 'identity']);
    await client.socket.emitWithAck('subscribe', { channels: ['kpi'] });
    assert.deepEqual(await heardThrough(client, 2), [2]);
  });

  scenario('does not come back when it was sent away, or left', async (t) => {
    const client = await ready(t);
    const left = once(client.socket, 'disconnect');
    const gone = await server.post('/api/ws/disconnect/user_1', undefined);
    assert.equal(gone.body.success, true);
    await left;
    const back = once(client.socket, 'connect');
    client.socket.connect();
    await back;
    assert.equal(client.socket.recovered, false);
    client.socket.disconnect();
    const again = once(client.socket, 'connect');
    client.socket.connect();
    await again;
    assert.equal(client.socket.recovered, false);
    assert.deepEqual(client.connects, [false, false, false]);
  });

  scenario('is asked for an acknowledgement again unless it gave it', async (t) => {
    const client = await ready(t);
    const asked = [];
    client.socket.on('system:notification', (payload, acknowledge) => {
      asked.push(payload.n);
      if (payload.n !== 2) acknowledge();
    });
    const ask = (n, query = '') =>
      server.broadcast(query, {
        event: 'system:notification',
        data: { n },
        requires_ack: true,
        target: { organization_id: client.organization },
      });
    assert.equal((await ask(1, '?wait_ms=5000')).acks, 1);
    await ask(2);
    await until(() => asked.length === 2, 'the second question');
    await away(client, () => ask(3));
    assert.equal(client.socket.recovered, true);
    await until(() => asked.includes(3), 'the third question');
    assert.deepEqual(asked, [1, 2, 2, 3]);
  });
});

describe('a history that forgets', () => {
  let server;
  before(async () => {
    server = await startServer({ history_ttl_ms: 1000, recovery_max_events: 20, rate_limit_requests_per_second: 0 });
  });
  after(() => server?.stop());

  const publish = (organization_id, n, event = 'kpi') => server.broadcast(`/${event}`, { organization_id, n });

  async function ready(t) {
    const organization = freshOrganization();
    const line = await startLine(server.port);
    t.after(() => line.close());
    const { socket, heard } = page(t, line, organization, { transports: ['websocket'] });
    const subscribed = once(socket, 'client:subscribe');
    await once(socket, 'connect');
    await subscribed;
    return { organization, line, socket, heard };
  }

  scenario('keeps nobody from coming back who has missed nothing', async (t) => {
    const { organization, line, socket, heard } = await ready(t);
    await publish(organization, 1);
    await until(() => heard.length === 1, 'the first event');
    // Others' events go on, and what it heard last is forgotten long since.
    for (let n = 0; n < 30; n += 1) {
      await publish(organization, 100 + n, 'alert');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const left = once(socket, 'disconnect');
    line.cut();
    await left;
    await publish(organization, 2);
    const answer = once(socket, 'authenticated');
    line.mend();
    const [authenticated] = await answer;
    assert.equal(authenticated.recovered, true, authenticated.reason);
    assert.equal(socket.recovered, true);
    await until(() => heard.length === 2, 'the missed event');
    assert.deepEqual(heard, [1, 2]);
  });

  for (const [reason, missed] of [['too_many', 21], ['trimmed', 1]]) {
    scenario(`says that it can't bring back everything: ${reason}`, async (t) => {
      const { organization, line, socket, heard } = await ready(t);
      await publish(organization, 1);
      await until(() => heard.length === 1, 'the first event');
      const left = once(socket, 'disconnect');
      line.cut();
      await left;
      for (let n = 0; n < missed; n += 1) await publish(organization, 2 + n);
      if (reason === 'trimmed') await new Promise((resolve) => setTimeout(resolve, 2500));
      const answer = once(socket, 'authenticated');
      const back = once(socket, 'connect');
      line.mend();
      await back;
      assert.equal(socket.recovered, false);
      const [authenticated] = await answer;
      assert.deepEqual([authenticated.recovered, authenticated.reason], [false, reason]);
      await socket.emitWithAck('subscribe', { channels: ['kpi'] });
      await publish(organization, 99);
      await until(() => heard.includes(99), 'the last event');
      assert.deepEqual(heard, [1, 99], 'and then nothing of it');
    });
  }
});

describe('a server that keeps no sessions', () => {
  let server;
  before(async () => {
    server = await startServer({ recovery_window_ms: 0 });
  });
  after(() => server?.stop());

  scenario('gives neither a pid nor an offset, and takes none', async (t) => {
    const organization = freshOrganization();
    const line = await startLine(server.port);
    t.after(() => line.close());
    const { socket } = page(t, line, organization);
    const heard = [];
    socket.on('kpi:update', (...values) => heard.push(values));
    const subscribed = once(socket, 'client:subscribe');
    await once(socket, 'connect');
    await subscribed;
    assert.equal(socket._pid, undefined);
    await server.broadcast('/kpi', { organization_id: organization, n: 1 });
    await until(() => heard.length === 1, 'the event');
    assert.equal(heard[0].length, 2, 'the payload and the meta');
    socket._pid = 'anything';
    const back = once(socket, 'connect');
    line.cut();
    line.mend();
    await back;
    assert.ok(!socket.recovered);
  });
});

describe('clients that lose their connections again and again', () => {
  const CLIENTS = 30;
  const PUBLISHERS = 5;
  const ROUNDS = 150;
  let server;
  before(async () => {
    server = await startServer({
      max_connections_per_org: 0,
      rate_limit_requests_per_second: 0,
      rate_limit_messages_per_second: 0,
    });
  });
  after(() => server?.stop());

  scenario('miss nothing, and have it in the order of each publisher', async (t) => {
    const organization = freshOrganization();
    const transports = Object.values(TRANSPORTS);
    const clients = Array.from({ length: CLIENTS }, (_, at) => {
      const options = transports[at % 3] ? { transports: transports[at % 3] } : {};
      const client = page(t, { url: server.url }, organization, { user_id: `user_${at}`, ...options });
      const heard = [];
      client.socket.on('kpi:update', ({ publisher, number }, { replayed }) => heard.push({ publisher, number, replayed }));
      return { ...client, heard, subscribed: once(client.socket, 'client:subscribe') };
    });
    await Promise.all(clients.map(({ subscribed }) => subscribed));
    const publish = (publisher, number) =>
      server.broadcast('/kpi', { organization_id: organization, publisher, number });
    for (let round = 1; round <= ROUNDS; round += 1) {
      for (let cuts = 0; cuts < 2; cuts += 1) {
        const { socket } = clients[Math.floor(Math.random() * CLIENTS)];
        if (!socket.connected) continue;
        // Now and then its session is not known any more, as after its server went; without an offset there is then
        // nothing to go on from.
        if (Math.random() < 0.2 && socket._lastOffset) socket._pid = 'a secret of nobody';
        const { ws } = socket.io.engine.transport;
        if (ws && Math.random() < 0.5) ws.terminate();
        else socket.io.engine.close();
      }
      await Promise.all(Array.from({ length: PUBLISHERS }, (_, publisher) => publish(publisher, round)));
    }
    const last = ROUNDS + 1;
    await publish(0, last);
    await until(
      () => clients.every(({ heard }) => heard.some(({ number }) => number === last)),
      'everybody to have the last event',
    );
    for (const { heard } of clients) {
      for (let publisher = 0; publisher < PUBLISHERS; publisher += 1) {
        const own = heard.filter((event) => event.publisher === publisher);
        const numbers = own.map(({ number }) => number);
        const first = [...new Set(numbers)];
        assert.deepEqual(first, Array.from({ length: publisher === 0 ? last : ROUNDS }, (_, at) => at + 1));
        // Only what came outside the order of the stream may come twice.
        const inOrder = own.filter(({ replayed }) => !replayed).map(({ number }) => number);
        assert.equal(new Set(inOrder).size, inOrder.length);
      }
    }
  }, ORGCAST_ONLY);
});
