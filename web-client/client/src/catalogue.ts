import { CATALOGUE, WITHOUT_CHANNEL } from './built-in.js';
import type { Channel } from './events.js';

const CHANNELS = Object.entries(CATALOGUE) as [Channel, readonly string[]][];

/** The channel that an event goes to unless the server is configured otherwise; `undefined` if it goes to all. */
export function channelOf(event: string): Channel | undefined {
  return CHANNELS.find(([, events]) => events.includes(event))?.[0];
}

/** Every built-in event. */
export function catalogue(): string[] {
  return [...CHANNELS.flatMap(([, events]) => events), ...WITHOUT_CHANNEL, 'auth:expiring'];
}
