import { OrgcastError } from './errors.js';
import { checkFilter, type Filter, type Place, toPlace } from './filter.js';

interface Entry {
  channel: string;
  place: Place;
  /** Who asked for exactly this. */
  explicit: number;
  /** Handlers that want the channel's events, from wherever they come. */
  implied: number;
  state: 'wanted' | 'sent' | 'failed';
  room: Promise<string>;
  settle: { resolve(room: string): void; reject(error: OrgcastError): void };
}

type Request = (event: string, data: unknown) => Promise<unknown>;

/** How long to wait before asking again where the server said nothing about it. */
const RETRY_MS = 1000;

/**
 * What should be subscribed to, counted, and what is. Changes of one moment go out together: something that is let
 * go and taken up again costs nothing.
 */
export class Subscriptions {
  #entries = new Map<string, Entry>();
  #request: Request | undefined;
  #pending: Promise<void> | undefined;
  #later: (ms: number, run: () => void) => void;
  #failed: (error: OrgcastError) => void;

  constructor(later: (ms: number, run: () => void) => void, failed: (error: OrgcastError) => void) {
    this.#later = later;
    this.#failed = failed;
  }

  /** Counts one more who wants this. Throws for a filter that says something else than it seems to. */
  add(channel: string, filter: Filter | undefined, how: 'explicit' | 'implied'): Promise<string> {
    const place = placeOf(channel, filter);
    const key = keyOf(channel, place);
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = { channel, place, explicit: 0, implied: 0, ...fresh() };
      this.#entries.set(key, entry);
    } else if (entry.state === 'failed') Object.assign(entry, fresh());
    entry[how] += 1;
    void this.flush();
    return entry.room;
  }

  /** Counts one less. Whoever was not counted changes nothing. */
  remove(channel: string, filter: Filter | undefined, how: 'explicit' | 'implied'): void {
    const entry = this.#entries.get(keyOf(channel, placeOf(channel, filter)));
    if (!entry || entry[how] === 0) return;
    entry[how] -= 1;
    void this.flush();
  }

  /** The connection is ready: everything that is wanted is asked for. Resolves when it has been answered. */
  resume(request: Request): Promise<void> {
    this.#request = request;
    return this.flush();
  }

  /** The connection is gone; the server has forgotten it all. */
  pause(): void {
    this.#request = undefined;
    for (const [key, entry] of this.#entries) {
      if (entry.explicit + entry.implied === 0) this.#entries.delete(key);
      else if (entry.state === 'failed') Object.assign(entry, fresh());
      else entry.state = 'wanted';
    }
  }

  /** Nobody will connect again by himself: those who wait are told. They stay counted. */
  abandon(error: OrgcastError): void {
    for (const entry of this.#entries.values()) {
      entry.settle.reject(error);
      Object.assign(entry, fresh());
    }
  }

  flush(): Promise<void> {
    this.#pending ??= Promise.resolve().then(() => {
      this.#pending = undefined;
      return this.#exchange();
    });
    return this.#pending;
  }

  async #exchange(): Promise<void> {
    const request = this.#request;
    if (!request) return;
    const more = new Map<string, Entry[]>();
    const less = new Map<string, Entry[]>();
    for (const [key, entry] of this.#entries) {
      const isWanted = this.#isWanted(entry);
      const group = JSON.stringify(entry.place);
      if (isWanted && entry.state === 'wanted') {
        entry.state = 'sent';
        more.set(group, [...(more.get(group) ?? []), entry]);
      } else if (!isWanted && entry.state === 'sent') {
        entry.state = 'wanted';
        less.set(group, [...(less.get(group) ?? []), entry]);
      }
      if (entry.explicit + entry.implied === 0) {
        this.#entries.delete(key);
        entry.settle.reject(new OrgcastError('DISCONNECTED', 'the subscription was given up'));
      }
    }
    // In this order nothing is missed where one takes the place of another.
    const asked = [...more.values()].map((entries) => this.#subscribe(request, entries));
    const left = [...less.values()].map((entries) => request('unsubscribe', command(entries)).catch(() => {}));
    await Promise.all([...asked, ...left]);
  }

  /** A handler brings its channel along, unless somebody chose what of that channel to hear. */
  #isWanted(entry: Entry): boolean {
    if (entry.explicit > 0) return true;
    if (entry.implied === 0) return false;
    for (const { channel, explicit } of this.#entries.values()) {
      if (explicit > 0 && (channel === entry.channel || channel === 'all')) return false;
    }
    return true;
  }

  async #subscribe(request: Request, entries: Entry[]): Promise<void> {
    try {
      const { subscriptions } = (await request('subscribe', command(entries))) as { subscriptions: string[] };
      entries.forEach((entry, index) => {
        entry.settle.resolve(subscriptions[index] ?? '');
      });
    } catch (failure) {
      const error = failure as OrgcastError;
      if (request !== this.#request) return;
      if (error.code === 'RATE_LIMIT_EXCEEDED' || error.code === 'TIMEOUT') {
        for (const entry of entries) entry.state = 'wanted';
        this.#later(error.retryAfterMs ?? RETRY_MS, () => void this.flush());
      } else if (entries.length > 1) {
        // One that is refused must not take the others with it.
        await Promise.all(entries.map((entry) => this.#subscribe(request, [entry])));
      } else {
        for (const entry of entries) {
          entry.state = 'failed';
          entry.settle.reject(error);
        }
        this.#failed(error);
      }
    }
  }
}

function placeOf(channel: string, filter: Filter | undefined): Place {
  checkFilter(`the filter of ${channel}`, filter);
  return toPlace(filter);
}

function keyOf(channel: string, place: Place): string {
  return JSON.stringify([channel, place]);
}

function command(entries: Entry[]): object {
  return { channels: entries.map((entry) => entry.channel), ...entries[0]?.place };
}

function fresh(): Pick<Entry, 'state' | 'room' | 'settle'> {
  const settle = {} as Entry['settle'];
  const room = new Promise<string>((resolve, reject) => Object.assign(settle, { resolve, reject }));
  // Those who do not wait for it hear of a failure by the client's own report.
  room.catch(() => {});
  return { state: 'wanted', room, settle };
}
