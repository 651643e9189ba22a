/** Where a client connects to, and what it says if that can not be. */
import { afterEach, describe, expect, it, vi } from 'vitest';

import { type Client, createClient, createPlainClient, type OrgcastError } from '../src/index.js';
import { address } from '../src/transport.js';

afterEach(() => vi.unstubAllGlobals());

describe('an address', () => {
  it.each([
    ['http://h:5000', 'http://h:5000/ws', 'ws://h:5000/ws'],
    ['https://h', 'https://h/ws', 'wss://h/ws'],
    ['ws://h', 'http://h/ws', 'ws://h/ws'],
    ['wss://h/live?tenant=a#x', 'https://h/live?tenant=a', 'wss://h/live?tenant=a'],
  ])('%s is one for both transports', (url, http, ws) => {
    expect([address({ url }, 'http').href, address({ url }, 'ws').href]).toEqual([http, ws]);
    expect(address({ url, path: '/else' }, 'ws').pathname).toBe('/else');
  });

  it('that is none is said to be none, by either transport, at once and for good', async () => {
    for (const url of ['localhost:5000', 'file:///tmp/x', 'not an address', undefined]) {
      for (const protocol of ['websocket', 'socket.io'] as const) {
        const client = createClient({ url, protocol, warn: false, userId: 'u', organizationId: 'o' });
        const errors = connect(client);
        const message = expect.stringContaining(`must begin with http://, https://, ws:// or wss://, and it is ${url}`);
        expect(errors).toMatchObject([{ code: 'INVALID_ARGUMENT', message }]);
        expect(client.state).toMatchObject({ status: 'error', isConnected: false });
        await expect(client.authenticate({ userId: 'u' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      }
    }
  });
});

describe('a runtime without WebSocket, such as Node 20', () => {
  const url = 'ws://localhost:5000';

  it('can make a client, whose connection says what is missing and does not try again', () => {
    vi.stubGlobal('WebSocket', undefined);
    const client = createPlainClient({ url, warn: false });
    const errors = connect(client);
    const message = expect.stringMatching(/no WebSocket here.*npm install ws.*option `WebSocket`/);
    expect(errors).toMatchObject([{ code: 'CONNECTION_FAILED', message }]);
    expect(client.state.status).toBe('error');
  });

  it('says it in the console where nobody listens', () => {
    vi.stubGlobal('WebSocket', undefined);
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    createPlainClient({ url }).connect();
    expect(warn.mock.calls).toEqual([[expect.stringContaining('npm install ws')]]);
    warn.mockRestore();
  });

  it('takes the class that it is given', () => {
    vi.stubGlobal('WebSocket', undefined);
    const opened: string[] = [];
    class Given {
      constructor(href: string) {
        opened.push(href);
      }
      close(): void {}
    }
    const client = createPlainClient({ url, WebSocket: Given as unknown as typeof WebSocket });
    expect(connect(client)).toEqual([]);
    expect(opened).toEqual(['ws://localhost:5000/ws?envelope=event']);
    client.disconnect();
  });
});

it('what a WebSocket throws for its address ends the attempt', () => {
  class Throws {
    constructor() {
      throw new SyntaxError('no such port');
    }
  }
  const client = createPlainClient({ url: 'ws://h', WebSocket: Throws as unknown as typeof WebSocket, warn: false });
  expect(connect(client)).toMatchObject([{ code: 'CONNECTION_FAILED', message: 'no such port' }]);
  expect(client.state.status).toBe('error');
});

/** Connects; gives what is reported meanwhile. */
function connect(client: Client): OrgcastError[] {
  const errors: OrgcastError[] = [];
  client.when('error', (error) => errors.push(error));
  client.connect();
  return errors;
}
