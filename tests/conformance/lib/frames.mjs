import { randomBytes } from 'node:crypto';
import net from 'node:net';

import { within } from './wait.mjs';

export const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;

/** One frame of a client, however wrong it is asked to be. */
export function frame(opcode, payload = '', { fin = true, rsv = 0, masked = true } = {}) {
  const bytes = Buffer.from(payload);
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  if (bytes.length < 126) head.push(mask | bytes.length);
  else if (bytes.length < 65_536) head.push(mask | 126, bytes.length >> 8, bytes.length & 255);
  else throw new Error('a frame of so many bytes is not needed here');
  if (!masked) return Buffer.concat([Buffer.from(head), bytes]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, bytes.map((byte, at) => byte ^ key[at % 4])]);
}

/** A close frame's payload. */
export function closing(code, reason = '') {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

/** A TCP connection on which everything that is sent is written by hand. */
export class Wire {
  #received = Buffer.alloc(0);
  #wake = () => {};
  #ended = false;

  constructor(port, options = {}) {
    this.socket = net.connect({ port, host: '127.0.0.1', ...options });
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  destroy() {
    this.socket.destroy();
  }

  /** Takes what `parse` finds at the start, `{taken, value}`; at the end of the stream `undefined`. */
  async #take(parse, what) {
    for (;;) {
      const found = parse(this.#received);
      if (found) {
        this.#received = this.#received.subarray(found.taken);
        return found.value;
      }
      if (this.#ended) return undefined;
      await within(new Promise((resolve) => (this.#wake = resolve)), what);
    }
  }

  /** The head of the next answer: `{status, headers}`, with the body of a length that was said. */
  async answer() {
    const head = await this.#take((bytes) => {
      const end = bytes.indexOf('\r\n\r\n');
      return end === -1 ? undefined : { taken: end + 4, value: bytes.subarray(0, end).toString('latin1') };
    }, 'an HTTP answer');
    if (head === undefined) return undefined;
    const [first, ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers['content-length'] ?? 0);
    const body = await this.#take(
      (bytes) => (bytes.length < length ? undefined : { taken: length, value: bytes.subarray(0, length).toString() }),
      'the body of an HTTP answer',
    );
    return { status: Number(first.split(' ')[1]), headers, body };
  }

  /** The next frame of the server, `{opcode, payload}`, or `undefined` once it has closed. */
  frame() {
    return this.#take((bytes) => {
      if (bytes.length < 2) return undefined;
      const short = bytes[1] & 127;
      const wide = { 126: 2, 127: 8 }[short] ?? 0;
      if (bytes.length < 2 + wide) return undefined;
      const length = wide === 0 ? short : wide === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
      const end = 2 + wide + length;
      return bytes.length < end
        ? undefined
        : { taken: end, value: { opcode: bytes[0] & 15, payload: Buffer.from(bytes.subarray(2 + wide, end)) } };
    }, 'a frame');
  }

  /** Every frame up to the close frame, and its code: `{texts, code}`. */
  async untilClosed() {
    const texts = [];
    for (;;) {
      const next = await this.frame();
      if (next === undefined) return { texts, code: undefined };
      if (next.opcode === TEXT) texts.push(next.payload.toString());
      if (next.opcode === CLOSE) return { texts, code: next.payload.length >= 2 ? next.payload.readUInt16BE() : 1005 };
    }
  }
}

/** The request for a WebSocket; `keys` are the values of `Sec-WebSocket-Key`, one header each. */
export function upgradeRequest(target, { keys = [randomBytes(16).toString('base64')], headers = [] } = {}) {
  return [
    `GET ${target} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    ...keys.map((key) => `Sec-WebSocket-Key: ${key}`),
    ...headers,
    '\r\n',
  ].join('\r\n');
}

/** A WebSocket whose frames are written by hand, closed after the test `t`. */
export async function wire(t, port, target) {
  const connection = new Wire(port);
  t.after(() => connection.destroy());
  connection.write(upgradeRequest(target));
  const { status } = await connection.answer();
  if (status !== 101) throw new Error(`${target} was answered ${status}`);
  return connection;
}
