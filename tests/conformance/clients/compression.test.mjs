import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe } from 'node:test';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

import { io } from 'socket.io-client';

import { startBrowser } from '../lib/browser.mjs';
import { plainClient, socketIoClient } from '../lib/clients.mjs';
import { startMeter } from '../lib/meter.mjs';
import { servePages } from '../lib/pages.mjs';
import { freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { richPayload } from '../lib/socketio-behaviour.mjs';
import { within } from '../lib/wait.mjs';

const gzip = promisify(zlib.gzip);
const deflate = promisify(zlib.deflate);

const MAX_MESSAGE_BYTES = 200_000;
const BROADCASTS = 10;

let compressing;
let plain;
let browser;
let pages;

before(async () => {
  const config = { max_message_size_bytes: MAX_MESSAGE_BYTES, cors_origins: '*', max_connections_per_org: 0 };
  compressing = await startServer(config);
  plain = await startServer({ ...config, compression_enabled: false });
  browser = await startBrowser();
  pages = await servePages({
    '/': '<!doctype html><title>A page</title><link rel="icon" href="data:," /><script src="/socket.io.js"></script>',
    '/socket.io.js': new URL('../node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url),
  });
});
after(async () => {
  await browser?.close();
  pages?.close();
  await compressing?.stop();
  await plain?.stop();
});

/** About 4 KB with everything that JSON can say. */
function payload(organization_id, number) {
  const rows = Array.from({ length: 30 }, (_, row) => ({
    queue_name: `support ${row}`,
    utilization: ((row * 7919 + number * 104_729) % 1000) / 10,
    sla_risk: 'medium',
    trend: [row, row + number, -row],
  }));
  return { ...richPayload(organization_id, 'support'), queue_name: undefined, number, rows };
}

const asSent = (value) => JSON.parse(JSON.stringify(value));

/**
 * The three stock clients. Each is connected over `meter` as a subscriber of `kpi`, and can be asked for its next
 * event's payload and to have something echoed.
 */
const CLIENTS = {
  async ws(t, meter, organization_id) {
    const client = await plainClient(t, meter, { query: `?userId=u&companyId=${organization_id}` });
    await client.inbox.take('authenticated');
    await client.call('subscribe', { channels: ['kpi'] });
    return {
      extensions: async () => client.socket.extensions,
      next: async () => (await client.inbox.take('kpi:update')).payload,
      echo: async (data) => (await client.call('client:ping', data)).data,
    };
  },

  async 'socket.io-client in Node'(t, meter, organization_id) {
    const client = socketIoClient(t, io, meter.url, {
      transports: ['websocket'],
      perMessageDeflate: { threshold: 1024 },
      auth: { user_id: 'u', organization_id },
    });
    await client.connect();
    await client.call('subscribe', { channels: ['kpi'] });
    return {
      extensions: async () => client.socket.io.engine.transport.ws.extensions,
      next: async () => (await client.inbox.take('kpi:update')).payload,
      echo: async (data) => (await client.call('client:ping', data)).data,
    };
  },

  async 'a WebSocket in Chromium'(t, meter, organization_id) {
    const page = await newPage(t);
    await page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(url);
          const waiting = {};
          const events = [];
          let wake = () => {};
          globalThis.extensions = () => socket.extensions;
          globalThis.call = (event, data) =>
            new Promise((done) => {
              const id = crypto.randomUUID();
              waiting[id] = done;
              socket.send(JSON.stringify({ event, data, id }));
            });
          globalThis.next = async () => {
            while (events.length === 0) await new Promise((done) => (wake = done));
            return events.shift();
          };
          socket.onmessage = ({ data }) => {
            const message = JSON.parse(data);
            if (waiting[message.id]) waiting[message.id](message.data);
            if (message.event === 'kpi:update') events.push(message.data);
            wake();
          };
          socket.onopen = resolve;
          socket.onerror = reject;
        }),
      `${meter.wsUrl}/ws?userId=u&companyId=${organization_id}`,
    );
    return onPage(page);
  },

  async 'socket.io-client in Chromium'(t, meter, organization_id) {
    const page = await newPage(t);
    await page.evaluate(
      ([url, auth]) =>
        new Promise((resolve, reject) => {
          const socket = globalThis.io(url, { path: '/ws', transports: ['websocket'], auth });
          const events = [];
          let wake = () => {};
          globalThis.extensions = () => socket.io.engine.transport.ws.extensions;
          globalThis.call = (event, data) => socket.emitWithAck(event, data);
          globalThis.next = async () => {
            while (events.length === 0) await new Promise((done) => (wake = done));
            return events.shift();
          };
          socket.on('kpi:update', (data) => {
            events.push(data);
            wake();
          });
          socket.on('connect', resolve);
          socket.on('connect_error', reject);
        }),
      [meter.url, { user_id: 'u', organization_id }],
    );
    return onPage(page);
  },
};

async function newPage(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(pages.origin);
  return page;
}

async function onPage(page) {
  await page.evaluate(() => globalThis.call('subscribe', { channels: ['kpi'] }));
  return {
    extensions: () => page.evaluate(() => globalThis.extensions()),
    next: () => within(page.evaluate(() => globalThis.next()), 'an event on the page'),
    echo: async (data) => (await page.evaluate((sent) => globalThis.call('client:ping', sent), data)).data,
  };
}

/** Connects, receives broadcasts and has something large echoed; answers the extension and the bytes of both. */
async function exchange(t, server, connect) {
  const organization_id = freshOrganization();
  const meter = await startMeter(server);
  t.after(() => meter.close());
  const client = await connect(t, meter, organization_id);
  const received = await meter.during(async () => {
    for (let number = 0; number < BROADCASTS; number += 1) {
      const sent = payload(organization_id, number);
      assert.equal((await server.broadcast('/kpi', sent)).recipients, 1);
      assert.deepEqual(await client.next(), asSent(sent));
    }
  });
  const echoed = await meter.during(async () => {
    const sent = asSent(payload(organization_id, 7));
    assert.deepEqual(await client.echo(sent), sent);
  });
  return { extensions: await client.extensions(), received, echoed };
}

for (const [name, connect] of Object.entries(CLIENTS)) {
  describe(name, () => {
    scenario('receives and sends the same compressed as plain, in a fraction of the bytes', async (t) => {
      const small = await exchange(t, compressing, connect);
      const large = await exchange(t, plain, connect);
      assert.match(small.extensions, /^permessage-deflate/);
      assert.equal(large.extensions, '');
      t.diagnostic(
        `${BROADCASTS} broadcasts: ${large.received.down} bytes plain, ${small.received.down} compressed; ` +
          `echo: ${large.echoed.up} up and ${large.echoed.down} down plain, ` +
          `${small.echoed.up} and ${small.echoed.down} compressed`,
      );
      assert.ok(small.received.down < large.received.down / 2);
      assert.ok(small.echoed.up < large.echoed.up / 2);
      assert.ok(small.echoed.down < large.echoed.down / 2);
    });
  });
}

describe('HTTP', () => {
  scenario('compresses what polling clients are sent, from the threshold on', async (t) => {
    for (const [encoding, inflate] of [
      ['gzip', zlib.gunzipSync],
      ['deflate', zlib.inflateSync],
      ['identity', (body) => body],
    ]) {
      const organization_id = freshOrganization();
      const headers = { 'Accept-Encoding': encoding };
      const path = '/ws/?EIO=4&transport=polling';
      const opened = await request(compressing, 'GET', path, { headers });
      assert.equal(opened.headers['content-encoding'], undefined, 'shorter than the threshold');
      const { sid } = JSON.parse(opened.body.toString().slice(1));
      const poll = () => request(compressing, 'GET', `${path}&sid=${sid}`, { headers });
      const post = (body) => request(compressing, 'POST', `${path}&sid=${sid}`, { body });
      await post(`40{"user_id":"u","organization_id":"${organization_id}"}`);
      await post('42["subscribe",{"channels":["kpi"]}]');
      await compressing.counts(organization_id, 1);

      const sent = payload(organization_id, 1);
      let packets = [];
      for (let n = 0; !packets.some((packet) => packet.includes('client:subscribe')); n += 1) {
        assert.ok(n < 10, 'the subscription was not answered');
        packets = (await poll()).body.toString().split('\x1e');
      }
      assert.equal((await compressing.broadcast('/kpi', sent)).recipients, 1);
      let answer;
      do {
        answer = await poll();
        packets = inflated(answer, inflate).toString().split('\x1e');
      } while (!packets.some((packet) => packet.includes('kpi:update')));
      const [event, data] = JSON.parse(packets.find((packet) => packet.includes('kpi:update')).slice(2));
      assert.deepEqual([event, data], ['kpi:update', asSent(sent)]);
      assert.equal(answer.headers['content-encoding'], encoding === 'identity' ? undefined : encoding);
      assert.match(answer.headers.vary, /accept-encoding/i);
      t.diagnostic(`a poll with ${encoding}: ${answer.body.length} bytes`);
    }
  });

  scenario('compresses answers of the API, unless that is switched off', async () => {
    const path = '/api/ws/no-such-route'.padEnd(2000, '-');
    const headers = { 'Accept-Encoding': 'gzip, deflate, br' };
    const small = await request(compressing, 'GET', path, { headers });
    assert.equal(small.headers['content-encoding'], 'gzip');
    assert.ok(small.body.length < 1000);
    const large = await request(plain, 'GET', path, { headers });
    assert.equal(large.headers['content-encoding'], undefined);
    assert.deepEqual(zlib.gunzipSync(small.body), large.body);
    const short = await request(compressing, 'GET', '/healthz', { headers });
    assert.equal(short.headers['content-encoding'], undefined);
  });

  scenario('reads compressed requests, and counts their length without compression', async () => {
    const sent = Buffer.from(JSON.stringify(payload(freshOrganization(), 1)));
    for (const [encoding, body] of [
      ['gzip', await gzip(sent)],
      ['deflate', await deflate(sent)],
      ['identity', sent],
    ]) {
      const answer = await broadcast(compressing, encoding, body);
      assert.equal(answer.status, 200, `${encoding}: ${answer.body}`);
      assert.equal(JSON.parse(answer.body).success, true);
    }
    const large = (length) => gzip(JSON.stringify({ organization_id: 'o', text: 'x'.repeat(length) }));
    assert.equal((await broadcast(compressing, 'gzip', await large(MAX_MESSAGE_BYTES - 100))).status, 200);
    const bomb = await large(100_000_000);
    assert.ok(bomb.length < MAX_MESSAGE_BYTES);
    for (const body of [await large(MAX_MESSAGE_BYTES), bomb]) {
      assertRefused(await broadcast(compressing, 'gzip', body), 413, 'MESSAGE_TOO_LARGE');
    }
  });

  scenario('refuses bodies that it can not read', async () => {
    const body = await gzip('{"organization_id":"o"}');
    assertRefused(await broadcast(compressing, 'gzip', Buffer.from('{"no":"gzip"}')), 400, 'INVALID_MESSAGE');
    assertRefused(await broadcast(compressing, 'gzip', body.subarray(0, -9)), 400, 'INVALID_MESSAGE');
    const unknown = await broadcast(compressing, 'br', body);
    assertRefused(unknown, 415, 'INVALID_MESSAGE');
    assert.equal(unknown.headers['accept-encoding'], 'gzip, deflate');
    assertRefused(await broadcast(plain, 'gzip', body), 415, 'INVALID_MESSAGE');
    // Whatever it inflates to: more than the limit is not even read.
    const long = Buffer.alloc(MAX_MESSAGE_BYTES + 1);
    assertRefused(await broadcast(compressing, 'gzip', long), 413, 'MESSAGE_TOO_LARGE');
    const emptyBlock = Buffer.from([0x00, 0x00, 0x00, 0xff, 0xff]);
    const blocks = Buffer.concat([body.subarray(0, 10), ...Array(MAX_MESSAGE_BYTES / 5).fill(emptyBlock)]);
    const chunked = await broadcast(compressing, 'gzip', blocks, { 'Transfer-Encoding': 'chunked' });
    assertRefused(chunked, 413, 'MESSAGE_TOO_LARGE');
  });
});

function assertRefused(answer, status, code) {
  assert.equal(answer.status, status, answer.body.toString());
  assert.equal(JSON.parse(answer.body).error.code, code);
}

function inflated(answer, inflate) {
  return answer.headers['content-encoding'] ? inflate(answer.body) : answer.body;
}

function broadcast(server, encoding, body, more = {}) {
  const headers = { 'Content-Type': 'application/json', 'Content-Encoding': encoding, ...more };
  return request(server, 'POST', '/api/ws/broadcast/kpi', { headers, body });
}

/** A request whose answer is left as it is on the wire. */
function request(server, method, path, { headers = {}, body } = {}) {
  const answered = new Promise((resolve, reject) => {
    const sent = http.request(server.url + path, { method, headers, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
  return within(answered, `${method} ${path}`);
}
