import type { Clock } from '../../src/clock.js';
import { OrgcastError } from '../../src/errors.js';
import type { OpenTransport, TransportListener } from '../../src/transport.js';

/** Time that passes when a test says so. */
export class FakeClock implements Clock {
  #now = 1_000_000;
  #timers = new Map<number, { at: number; run: () => void }>();
  #lastId = 0;

  now = (): number => this.#now;

  setTimeout = (run: () => void, ms: number): number => {
    this.#lastId += 1;
    this.#timers.set(this.#lastId, { at: this.#now + ms, run });
    return this.#lastId;
  };

  clearTimeout = (timer: unknown): void => {
    this.#timers.delete(timer as number);
  };

  /** Milliseconds until the timers that are set, the nearest first. */
  get waits(): number[] {
    return [...this.#timers.values()].map(({ at }) => at - this.#now).sort((a, b) => a - b);
  }

  /** Lets time pass, with everything that follows from it. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const [due] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!due) break;
      const [id, { at, run }] = due;
      this.#timers.delete(id);
      this.#now = at;
      run();
    }
    this.#now = end;
    await settle();
  }
}

/** Promises that are kept already have been heard of. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

export interface Connection {
  listener: TransportListener;
  sent: { event: string; data: unknown; answer(reply: unknown): void }[];
  isClosed: boolean;
}

/** A network of which the test is the other end. */
export function fakeNetwork(): { open: OpenTransport; connections: Connection[]; last(): Connection } {
  const connections: Connection[] = [];
  const open: OpenTransport = (_endpoint, listener) => {
    const connection: Connection = { listener, sent: [], isClosed: false };
    connections.push(connection);
    const waiting: ((error: Error) => void)[] = [];
    return {
      request: (event, data) =>
        new Promise((answer, reject) => {
          connection.sent.push({ event, data, answer });
          waiting.push(reject);
        }),
      close: () => {
        connection.isClosed = true;
        for (const reject of waiting) reject(new OrgcastError('DISCONNECTED', 'the connection was lost'));
      },
    };
  };
  const last = () => {
    const connection = connections.at(-1);
    if (!connection) throw new Error('nobody connected');
    return connection;
  };
  return { open, connections, last };
}

/** Answers the last message of this name. */
export async function answer(connection: Connection, event: string, reply: unknown): Promise<void> {
  await settle();
  const asked = connection.sent.findLast((sent) => sent.event === event);
  if (!asked) throw new Error(`the client did not send ${event}`);
  asked.answer(reply);
  await settle();
}
