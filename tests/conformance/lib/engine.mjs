import assert from 'node:assert/strict';

import WebSocket from 'ws';

import { within } from './wait.mjs';
import { begin, fetchText } from './http.mjs';

/** The payload codec of each protocol revision, written from the protocol's text. Packets are texts here. */
const CODECS = {
  3: {
    encode: (packets) => packets.map((packet) => `${packet.length}:${packet}`).join(''),
    decode(payload) {
      const packets = [];
      for (let at = 0; at < payload.length;) {
        const colon = payload.indexOf(':', at);
        assert.ok(colon > at, `no length at ${at} in ${JSON.stringify(payload)}`);
        const length = Number(payload.slice(at, colon));
        assert.ok(Number.isInteger(length), `no length at ${at} in ${JSON.stringify(payload)}`);
        const end = colon + 1 + length;
        assert.ok(end <= payload.length, `a packet is cut off in ${JSON.stringify(payload)}`);
        packets.push(payload.slice(colon + 1, end));
        at = end;
      }
      return packets;
    },
  },
  4: {
    encode: (packets) => packets.join('\x1e'),
    decode: (payload) => payload.split('\x1e'),
  },
};

/** Where an Engine.IO server listens and which revision is spoken to it. */
export class Endpoint {
  constructor(url, path, revision = 4) {
    this.url = `${url}${path}`;
    this.revision = revision;
    this.codec = CODECS[revision];
  }

  /** The address of a request; a parameter that is `undefined` is left out. */
  at(parameters = {}) {
    const all = { EIO: this.revision, transport: 'polling', ...parameters };
    const given = Object.entries(all).filter(([, value]) => value !== undefined);
    return `${this.url}?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
  }

  /** The handshake over polling: a session, and what its `open` packet said. */
  async open(parameters) {
    const { status, text } = await fetchText(this.at(parameters));
    assert.equal(status, 200, text);
    const [first, ...rest] = this.codec.decode(text);
    assert.equal(first[0], '0', text);
    const session = new Session(this, JSON.parse(first.slice(1)));
    session.waiting.push(...rest);
    return session;
  }

  /** A WebSocket with the server, before any message. */
  socket({ sid, protocols, ...parameters } = {}) {
    const url = this.at({ transport: 'websocket', sid, ...parameters }).replace('http:', 'ws:');
    return new Socket(url, protocols, this.revision);
  }

  /** The handshake over WebSocket. */
  async connect(parameters) {
    const socket = this.socket(parameters);
    const first = await socket.next();
    assert.equal(first[0], '0', first);
    socket.handshake = JSON.parse(first.slice(1));
    return socket;
  }
}

/** A polling session by hand. */
export class Session {
  /** Packets that came and were not asked for yet. */
  waiting = [];

  constructor(endpoint, handshake) {
    this.endpoint = endpoint;
    this.handshake = handshake;
    this.sid = handshake.sid;
  }

  get address() {
    return this.endpoint.at({ sid: this.sid });
  }

  /** A GET that may wait: `{answered, abort}`. */
  begin() {
    return begin(this.address);
  }

  poll() {
    return this.begin().answered;
  }

  post(body, headers = { 'Content-Type': 'text/plain;charset=UTF-8' }) {
    return fetchText(this.address, { method: 'POST', body, headers });
  }

  async send(...packets) {
    const { status, text } = await this.post(this.endpoint.codec.encode(packets));
    assert.deepEqual([status, text], [200, 'ok']);
  }

  /** The next packet that is no heartbeat and no `noop`; heartbeats are answered. */
  async next() {
    for (;;) {
      const packet = this.waiting.shift();
      if (packet === undefined) {
        const { status, text } = await this.poll();
        assert.equal(status, 200, text);
        this.waiting.push(...this.endpoint.codec.decode(text));
      } else if (packet === '2') {
        await this.send('3');
      } else if (packet !== '6' && packet !== '3') {
        return packet;
      }
    }
  }
}

/** What the acknowledgement `id` of the main namespace says, if the packet is one. */
export function acknowledged(packet, id) {
  const prefix = `43${id}[`;
  assert.ok(packet.startsWith(prefix), packet);
  return JSON.parse(packet.slice(prefix.length - 1))[0];
}

/**
 * Resolves once the server has certainly taken what was sent to it before, over other connections: two requests
 * that come later were answered. A request that waits gives no other sign of its arrival.
 */
export async function barrier(endpoint) {
  for (let n = 0; n < 2; n += 1) await fetchText(endpoint.at({ sid: 'nobody' }));
}

/**
 * Brings a polling session or a WebSocket as far as its tests want it: connected to the main namespace,
 * authenticated if an organization is named, subscribed to these channels.
 */
export async function enter(connection, revision, { organization_id, channels } = {}) {
  const send = (packet) => connection.send(packet);
  if (revision === 4) await send('40');
  const answer = await connection.next();
  assert.ok(answer.startsWith('40'), answer);
  if (organization_id !== undefined) {
    await send(`42990["authenticate",{"user_id":"user_1","organization_id":"${organization_id}"}]`);
    assert.equal(acknowledged(await connection.next(), 990).success, true);
  }
  if (channels !== undefined) {
    await send(`42991["subscribe",${JSON.stringify({ channels })}]`);
    assert.equal(acknowledged(await connection.next(), 991).success, true);
  }
  return connection;
}

/** A WebSocket that loses no message, whenever one asks for it. */
export class Socket {
  #messages = [];
  #takers = [];
  /** Whether pings of revision 4 are answered and kept away from `next`. */
  answersPings = false;

  constructor(url, protocols, revision = 4) {
    const socket = new WebSocket(url, protocols);
    this.socket = socket;
    this.revision = revision;
    this.closed = new Promise((resolve) => {
      // Without a listener, a refusal would be an error of the process. Its `close` follows.
      socket.on('error', () => {});
      socket.on('unexpected-response', (request, response) => {
        resolve({ code: undefined, status: response.statusCode });
        request.destroy();
      });
      socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        for (const { reject } of this.#takers.splice(0)) reject(new Error(`closed with ${code} instead of a message`));
      });
    });
    this.opened = new Promise((resolve) => socket.on('open', resolve));
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      if (this.answersPings && message === '2') {
        socket.send('3');
        return;
      }
      const taker = this.#takers.shift();
      if (taker) taker.resolve(message);
      else this.#messages.push(message);
    });
  }

  send(...messages) {
    for (const message of messages) this.socket.send(message);
  }

  /** The next message, a text or a Buffer. */
  next(what = 'a message') {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    const message = new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
    return within(message, `${what} on a WebSocket`);
  }

  open() {
    return within(
      Promise.race([
        this.opened,
        this.closed.then((how) => {
          throw new Error(`the WebSocket was refused: ${JSON.stringify(how)}`);
        }),
      ]),
      'a WebSocket to open',
    );
  }

  /** How it was closed: `{code, reason}`, or `{status}` if it was refused. */
  end(ms) {
    return within(this.closed, 'a WebSocket to close', ms);
  }

  close() {
    this.socket.terminate();
  }
}
