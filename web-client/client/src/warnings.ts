import { catalogue } from './catalogue.js';
import { callSafely } from './emitter.js';
import { OrgcastError } from './errors.js';
import { type ClientOptions, LIFECYCLE } from './types.js';

/** Texts may be different each time; after so many they would fill a console. */
const MOST = 100;

/** What nobody would notice otherwise, each once: developers see it in the console unless they want it elsewhere. */
export class Warnings {
  #given = new Set<string>();

  give(warn: ClientOptions['warn'], warning: OrgcastError): void {
    const { code, message } = warning;
    // A time to wait or an id makes no other warning of it.
    const key = code + message.replace(/\d+/g, '');
    if (warn === false || this.#given.has(key) || this.#given.size === MOST) return;
    this.#given.add(key);
    if (typeof warn === 'function') callSafely(warn, warning);
    else console.warn(`[orgcast] ${code}: ${message}`);
  }
}

/** What there is to say about handling an event that may be a slip. */
export function aboutEvent(event: string, events: object | undefined): OrgcastError | undefined {
  const known = [...catalogue(), ...Object.keys(events ?? {})];
  if (event === '*' || known.includes(event)) return undefined;
  const start = (name: string) => name.slice(0, 3).toLowerCase();
  const near = known.filter((name) => start(name) === start(event)).join(', ');
  return new OrgcastError(
    'UNKNOWN_EVENT',
    LIFECYCLE.includes(event as never)
      ? `\`${event}\` is told by when('${event}', ..)`
      : `no event is named \`${event}\`${near && `, but ${near}`}; your server's own go into the option \`events\``,
  );
}

export function noIdentity(): OrgcastError {
  return new OrgcastError(
    'NO_IDENTITY',
    'connected, but nobody is authenticated, so nothing is heard: give `getToken`, or `userId` and `organizationId`',
  );
}
