import { OrgcastError } from './errors.js';

/** What comes beside an event's payload. */
export interface Meta {
  id?: string;
  channel?: string | null;
  timestamp?: string;
  priority?: 'low' | 'medium' | 'high' | 'urgent';
}

/** What a transport tells its client. Nothing is told after `closed`. */
export interface TransportListener {
  opened(): void;
  /** An event, with a function that acknowledges it if the server asked for that. */
  received(event: string, payload: unknown, meta: Meta, acknowledge?: () => void): void;
  /** The bytes now go another way. */
  switched(via: Via): void;
  /** With a close code of RFC 6455, 1006 if there was none, and with the server's refusal if it said one. */
  closed(code: number, reason: string, error?: OrgcastError): void;
}

/** What the client needs of a WebSocket. */
export interface WebSocketLike {
  readonly readyState: number;
  // biome-ignore-start lint/suspicious/noExplicitAny: every implementation has events of its own
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  // biome-ignore-end lint/suspicious/noExplicitAny: as above
  send(text: string): void;
  close(code?: number): void;
}

/** The browser's WebSocket, or a class that behaves like it, such as the one of `ws`. */
export type WebSocketClass = new (url: string) => WebSocketLike;

export type Via = 'websocket' | 'polling';

/** One connection: opened once, closed once. */
export interface Transport {
  /** Resolves with the server's answer to one message, whether it is good or bad; rejects if the connection ends. */
  request(event: string, data: unknown): Promise<unknown>;
  /** Ends the connection without telling the listener. */
  close(): void;
}

export interface Endpoint {
  /** `http(s)://` or `ws(s)://`; the page's own origin if there is none. */
  url?: string | undefined;
  /** Where the server listens; `/ws`, or the path in the URL if there is one. */
  path?: string | undefined;
}

export type OpenTransport = (endpoint: Endpoint, listener: TransportListener) => Transport;

/** The address of an endpoint under the scheme of the transport: `ws` or `http`, with an `s` where it had one. */
export function address({ url, path }: Endpoint, scheme: 'ws' | 'http'): URL {
  const base = typeof location === 'undefined' ? undefined : location.href;
  let found: URL | undefined;
  try {
    found = new URL(url ?? '/', base);
  } catch {
    // As for what is an address and none of a server.
  }
  if (!found || !/^(http|ws)s?:$/.test(found.protocol)) {
    throw new OrgcastError(
      'INVALID_ARGUMENT',
      `\`url\` must begin with http://, https://, ws:// or wss://, and it is ${url}`,
    );
  }
  found.protocol = scheme + (/^(https|wss):$/.test(found.protocol) ? 's:' : ':');
  if (path) found.pathname = path;
  else if (!url || found.pathname === '/') found.pathname = '/ws';
  found.hash = '';
  return found;
}
