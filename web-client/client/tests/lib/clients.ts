import { io } from 'socket.io-client';
import { WebSocket as NodeWebSocket } from 'ws';

import { type Client, createClient } from '../../src/index.js';
import type { ClientOptions } from '../../src/types.js';

/** The two ways to be a client, and Socket.IO without WebSocket. */
export const KINDS = ['plain WebSocket', 'Socket.IO', 'Socket.IO on polling'] as const;
export type Kind = (typeof KINDS)[number];

const open = new Set<Client>();

export function makeClient(kind: Kind, options: ClientOptions): Client {
  const client = createClient({
    protocol: kind === 'plain WebSocket' ? 'websocket' : 'socket.io',
    WebSocket: NodeWebSocket,
    io,
    transports: kind === 'Socket.IO on polling' ? ['polling'] : ['polling', 'websocket'],
    reconnectBaseDelay: 50,
    reconnectMaxDelay: 200,
    ...options,
  });
  open.add(client);
  return client;
}

export function closeClients(): void {
  for (const client of open) client.disconnect();
  open.clear();
}
