import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { io } from 'socket.io-client';

import { plainClient, socketIoClient } from '../lib/clients.mjs';
import { ORGCAST_ONLY, freshOrganization, scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/orgcast.mjs';
import { once, until } from '../lib/wait.mjs';

let server;
before(async () => {
  server = await startServer({ max_connections_per_org: 0, rate_limit_requests_per_second: 0 });
});
after(() => server?.stop());

const value = (organization_id, queue_name, n) => server.broadcast('/kpi', { organization_id, queue_name, n });

async function page(t, organization_id, options = {}) {
  const { socket } = socketIoClient(t, io, server.url, { auth: { user_id: 'u', organization_id }, ...options });
  const heard = [];
  socket.on('kpi:update', (payload, meta, ...more) => heard.push({ ...payload, meta, more }));
  socket.on('alert:triggered', (payload, meta, ...more) => heard.push({ ...payload, meta, more }));
  socket.connect();
  await once(socket, 'connect');
  return { socket, heard, subscribe: (wanted) => socket.emitWithAck('subscribe', { channels: ['kpi'], ...wanted }) };
}

describe('a subscription of a stock client', () => {
  scenario('opens with the latest value of each place, and then what comes', async (t) => {
    const organization = freshOrganization();
    for (const [queue, n] of [['a', 1], ['b', 2], ['a', 3]]) await value(organization, queue, n);
    // An event that is no value is not kept as one.
    await server.broadcast('/alert', { organization_id: organization, n: 4 });
    const { heard, subscribe, socket } = await page(t, organization);
    const answer = await subscribe({ channels: ['kpi', 'alerts'], latest: true });
    assert.equal(answer.replayed, 2);
    await value(organization, 'b', 5);
    await until(() => heard.length === 3, 'three values');
    assert.deepEqual(heard.map(({ n }) => n), [2, 3, 5]);
    assert.deepEqual(heard.map(({ meta }) => meta.replayed), [true, true, undefined]);
    // Only what comes in the order of the stream says up to where the client has everything.
    assert.deepEqual(heard.map(({ more }) => more.length), [0, 0, 1]);
    assert.ok(heard.every(({ meta }) => meta.offset));
    // What it is in already, it is not sent again.
    assert.equal((await socket.emitWithAck('subscribe', { channels: ['kpi'], latest: true })).replayed, 0);
  }, ORGCAST_ONLY);

  scenario('opens with the last events', async (t) => {
    const organization = freshOrganization();
    for (let n = 1; n <= 20; n += 1) await value(organization, n % 2 ? 'a' : 'b', n);
    const { heard, subscribe } = await page(t, organization);
    assert.equal((await subscribe({ queue_name: 'a', history: 3 })).replayed, 3);
    await until(() => heard.length === 3, 'three events');
    assert.deepEqual(heard.map(({ n }) => n), [15, 17, 19]);
  }, ORGCAST_ONLY);

  scenario('has neither gap nor repetition beside many publications', async (t) => {
    const PLACES = 1500;
    const organization = freshOrganization();
    const rounds = Array.from({ length: PLACES }, (_, place) => place);
    const publishAll = async (n) => {
      for (let at = 0; at < PLACES; at += 50) {
        await Promise.all(rounds.slice(at, at + 50).map((place) => value(organization, `q${place}`, n)));
      }
    };
    await publishAll(1);
    const { heard, subscribe } = await page(t, organization);
    const publishing = publishAll(2).then(() => publishAll(3));
    const answer = await subscribe({ latest: true });
    assert.equal(answer.replayed, PLACES);
    await publishing;
    await value(organization, 'last', 4);
    await until(() => heard.some(({ n }) => n === 4), 'the last value');
    const byPlace = new Map();
    for (const { queue_name, n } of heard) byPlace.set(queue_name, [...(byPlace.get(queue_name) ?? []), n]);
    byPlace.delete('last');
    assert.equal(byPlace.size, PLACES);
    for (const [place, seen] of byPlace) {
      assert.equal(seen.at(-1), 3, `${place}: ${seen}`);
      for (let at = 1; at < seen.length; at += 1) assert.equal(seen[at], seen[at - 1] + 1, `${place}: ${seen}`);
    }
  }, ORGCAST_ONLY);

  scenario('refuses what it does not understand, and says what it takes', async (t) => {
    const { subscribe } = await page(t, freshOrganization());
    for (const [wanted, message] of [
      [{ latest: 'yes' }, '`latest` must be true or false, not a string'],
      [{ history: 0 }, '`history` must be a whole number from 1 to 1000, not 0'],
      [{ history: 1001 }, '`history` must be a whole number from 1 to 1000, not 1001'],
      [{ history: 2, latest: true }, 'a subscription opens with `latest` or with `history`, not with both'],
      [{ since: 7 }, '`since`: a position is the `offset` of an event as it came, like `0f3a9c21b7de-42`, not a number'],
      [{ since: 'x' }, '`since`: a position is the `offset` of an event as it came, like `0f3a9c21b7de-42`, not `x`'],
    ]) {
      const { success, error } = await subscribe(wanted);
      assert.deepEqual([success, error.code, error.message], [false, 'INVALID_MESSAGE', message]);
    }
  }, ORGCAST_ONLY);
});

describe('the command `history`', () => {
  scenario('reads what subscriptions would have brought, and what was for the user alone', async (t) => {
    const organization = freshOrganization();
    for (let n = 1; n <= 6; n += 1) await value(organization, n % 2 ? 'a' : 'b', n);
    await server.broadcast('/alert', { organization_id: organization, n: 7 });
    const notify = (user, n) =>
      server.broadcast('', { event: 'notification', data: { n }, target: { organization_id: organization, user_ids: [user] } });
    await notify('u', 8);
    await notify('somebody else', 9);
    const { socket } = await page(t, organization);
    const read = (wanted) => socket.emitWithAck('history', { channels: ['kpi'], ...wanted });
    const numbers = ({ events }) => events.map(({ data }) => data.n);
    const all = await read({});
    assert.deepEqual(numbers(all), [1, 2, 3, 4, 5, 6, 8]);
    assert.deepEqual([all.success, all.complete, all.next], [true, true, null]);
    assert.deepEqual(numbers(await read({ queue_name: 'a', event: 'kpi:update' })), [1, 3, 5]);
    const page1 = await read({ order: 'desc', limit: 2, event: 'kpi:update' });
    assert.deepEqual(numbers(page1), [6, 5]);
    assert.deepEqual(numbers(await read({ order: 'desc', limit: 2, event: 'kpi:update', before: page1.next })), [4, 3]);
    const first = await read({ limit: 1 });
    assert.deepEqual(numbers(await read({ since: first.next, limit: 2 })), [2, 3]);
    const [event] = first.events;
    assert.deepEqual([event.event, event.channel, event.queue_name], ['kpi:update', 'kpi', 'a']);
    for (const [wanted, message] of [
      [{ limit: 101 }, '`limit` must be a whole number from 1 to 100'],
      [{ order: 'up' }, '`order` is `up`; asc and desc are allowed'],
      [{ before: first.next }, '`before` goes with `order=desc`'],
      [{ channels: [] }, '`channels` must name at least one channel'],
      [{ organization_id: 'another' }, undefined],
    ]) {
      const { success, error } = await read(wanted);
      assert.equal(success, false);
      if (message) assert.equal(error.message, message);
      else assert.equal(error.code, 'UNAUTHORIZED');
    }
  }, ORGCAST_ONLY);
});

describe('a plain client that was away', () => {
  const identity = (organization_id) => ({ user_id: 'u', organization_id });
  const numbers = async (client, count) => {
    const events = [];
    while (events.length < count) events.push(await client.inbox.next());
    return events;
  };

  async function lastOffset(t, organization, n) {
    const client = await plainClient(t, server);
    await client.call('authenticate', identity(organization));
    await client.call('subscribe', { channels: ['kpi', 'alerts'] });
    await value(organization, 'a', n);
    const { frame } = await client.inbox.next();
    client.socket.terminate();
    return frame.offset;
  }

  scenario('gets what it missed behind each subscription, and nothing twice', async (t) => {
    const organization = freshOrganization();
    const offset = await lastOffset(t, organization, 1);
    await value(organization, 'a', 2);
    await server.broadcast('/alert', { organization_id: organization, n: 3 });
    await value(organization, 'b', 4);
    const client = await plainClient(t, server);
    await client.call('authenticate', { ...identity(organization), offset });
    const all = await client.call('subscribe', { channels: ['kpi'] });
    assert.deepEqual([all.recovered, all.missed], [true, 2]);
    const events = await numbers(client, 2);
    assert.deepEqual(events.map(({ payload }) => payload.n), [2, 4]);
    assert.ok(events.every(({ frame }) => frame.offset === undefined && frame.meta.replayed && frame.meta.offset));
    const narrow = await client.call('subscribe', { channels: ['kpi'], queue_name: 'a' });
    assert.deepEqual([narrow.recovered, narrow.missed], [true, 0]);
    const alerts = await client.call('subscribe', { channels: ['alerts'] });
    assert.deepEqual([alerts.recovered, alerts.missed], [true, 1]);
    assert.deepEqual((await numbers(client, 1)).map(({ payload }) => payload.n), [3]);
  }, ORGCAST_ONLY);

  scenario('goes on in the order of the stream with `since`', async (t) => {
    const organization = freshOrganization();
    const offset = await lastOffset(t, organization, 1);
    await value(organization, 'a', 2);
    const client = await plainClient(t, server);
    await client.call('authenticate', identity(organization));
    const answer = await client.call('subscribe', { channels: ['kpi'], since: offset });
    assert.deepEqual([answer.recovered, answer.missed], [true, 1]);
    const [event] = await numbers(client, 1);
    assert.deepEqual([event.payload.n, event.frame.meta], [2, undefined]);
    assert.match(event.frame.offset, /-2$/);
  }, ORGCAST_ONLY);

  scenario('is told where that is impossible, and gets nothing of it', async (t) => {
    const organization = freshOrganization();
    await value(organization, 'a', 1);
    const client = await plainClient(t, server);
    await client.call('authenticate', { ...identity(organization), offset: '000000000000-1' });
    const answer = await client.call('subscribe', { channels: ['kpi'], latest: true });
    assert.deepEqual([answer.recovered, answer.reason, answer.replayed], [false, 'epoch', 1]);
    const [event] = await numbers(client, 1);
    assert.equal(event.payload.n, 1);
  }, ORGCAST_ONLY);
});

describe('a stock client whose session is not known any more', () => {
  scenario('gets what it missed with its subscriptions', async (t) => {
    const organization = freshOrganization();
    const { socket, heard } = await page(t, organization);
    const answers = [];
    socket.on('connect', async () => answers.push(await socket.emitWithAck('subscribe', { channels: ['kpi'] })));
    await socket.emitWithAck('subscribe', { channels: ['kpi'] });
    await value(organization, 'a', 1);
    await until(() => heard.length === 1, 'the first event');
    // Its server may have gone: the secret is of no session, the offset is as it was.
    socket._pid = 'a secret of nobody';
    const back = once(socket, 'connect');
    socket.io.engine.close();
    await value(organization, 'a', 2);
    await back;
    await until(() => answers.length === 1, 'the answer');
    await value(organization, 'a', 3);
    await until(() => heard.some(({ n }) => n === 3), 'the last event');
    assert.deepEqual(heard.map(({ n }) => n), [1, 2, 3]);
    assert.deepEqual([answers[0].recovered, answers[0].missed], [true, 1]);
  }, ORGCAST_ONLY);
});
