/** Checked by the compiler alone: what compiles, and what must not. */
import {
  type Channel,
  createClient,
  createPlainClient,
  type EventName,
  getWebSocketClient,
  type Message,
  type PayloadOf,
} from '@orgcast/client';
import {
  useKPIUpdates,
  useWebSocket,
  useWebSocketEvent,
  useWebSocketSubscription,
  WebSocketStatus,
} from '@orgcast/client/react';
import { WebSocket as NodeWebSocket } from 'ws';

// The browser's class, and that of `ws`.
createPlainClient({ url: 'ws://localhost:5000', WebSocket });
createPlainClient({ url: 'ws://localhost:5000', WebSocket: NodeWebSocket });

declare module '@orgcast/client' {
  interface EventMap {
    'ticket:opened': { id: string };
  }
  interface ChannelMap {
    tickets: true;
  }
}

const client = createClient({
  url: 'http://localhost:5000',
  events: { 'ticket:opened': 'tickets', 'system:broadcast': 'alerts' },
});

// Names of the catalogue, with their payloads.
client.on('kpi:update', ({ payload, type }) => {
  const score: number | undefined = payload.health_score;
  const name: 'kpi:update' = type;
  return [score, name];
});
client.on('auth:expiring', ({ payload }) => payload.expires_in_ms.toFixed());
void client.subscribe(['kpi', 'all'], { queue_name: 'support' });

// Names of one's own, declared above.
client.on('ticket:opened', ({ payload }) => payload.id.trim());
client.on('ticket:opened', () => {}, { channel: 'tickets' });
void client.subscribe('tickets');
getWebSocketClient().on('ticket:opened', ({ payload }) => payload.id.trim());

// All events, whose names may be any.
client.on('*', (message) => {
  const any: Message = message;
  return message.type === 'something:new' || any.payload;
});

// Some event, and its own payload.
function handle(event: 'kpi:update' | 'ticket:opened'): void {
  client.on(event, (message) => {
    if (message.type === 'ticket:opened') message.payload.id.trim();
    else message.payload.health_score?.toFixed();
  });
}

// A name that is known at run time alone.
const found: string = location.hash;
client.on(found as EventName, () => {});
void client.subscribe(found as Channel);

// @ts-expect-error misspelt
client.on('kpi:updte', () => {});
// @ts-expect-error the connection's own, for `when`
client.on('connect', () => {});
// @ts-expect-error a name that may be any
client.on(found, () => {});
// @ts-expect-error misspelt
void client.subscribe(['kpii']);
// @ts-expect-error misspelt
client.hold('alert');
// @ts-expect-error a name that may be any
void client.subscribe(found);
// @ts-expect-error misspelt
void client.subscribe('kpi', { queueNmae: 'support' });
// @ts-expect-error a filter where the options of a handler are
client.on('kpi:update', () => {}, { queue_name: 'support' });
// @ts-expect-error misspelt
client.on('kpi:update', () => {}, { channel: 'kpii' });
// @ts-expect-error never happens
client.when('connected', () => {});
// @ts-expect-error misspelt
createClient({ organisationId: 'o' });
// @ts-expect-error no such event
createClient({ events: { 'ticket:closed': 'tickets' } });
// @ts-expect-error no such channel
createClient({ events: { 'ticket:opened': 'ticket' } });
// @ts-expect-error misspelt
getWebSocketClient().on('kpi:updte', () => {});
// @ts-expect-error misspelt
getWebSocketClient().on({ onKpiUpdate: () => {} });
// @ts-expect-error misspelt
void getWebSocketClient().subscribe(['kpii']);

export function Widget() {
  const { latestUpdate } = useKPIUpdates(undefined, { organization_id: 'o', queue_name: 'support' });
  const { subscribe, subscribeToChannel } = useWebSocket();
  useWebSocketEvent('ticket:opened', ({ id }, { type }) => id === type);
  useWebSocketEvent('*', (payload: unknown, { type }) => [payload, type === 'something:new']);
  useWebSocketSubscription(['kpi', 'tickets']);
  subscribeToChannel('tickets');
  subscribe('ticket:opened', ({ data }) => data.id.trim());

  // @ts-expect-error a backend may leave it out
  latestUpdate?.utilization.current_utilization;
  // @ts-expect-error a backend may leave it out
  latestUpdate?.timestamp.slice();
  // @ts-expect-error misspelt
  useWebSocketEvent('ticket:openend', () => {});
  // @ts-expect-error misspelt
  useWebSocketSubscription('tickest');
  // @ts-expect-error misspelt
  useKPIUpdates(undefined, { organization_id: 'o', queueNmae: 'support' });
  // @ts-expect-error misspelt
  subscribe('ticket:openend', () => {});
  // @ts-expect-error misspelt
  subscribe(['tickest']);
  // @ts-expect-error misspelt
  subscribeToChannel('tickest');
  // @ts-expect-error not a hook in this form, and misspelt
  useWebSocket('ticket:openend', () => {});
  // @ts-expect-error misspelt
  const status = <WebSocketStatus organisationId="o" />;
  return [status, <WebSocketStatus key="s" showDetails organizationId="o" id="status" data-testid="status" />];
}

/** What a backend may leave out of a payload: every member, but what the server itself sends. */
type Needed<P> = { [M in keyof P as string extends M ? never : P extends Record<M, P[M]> ? M : never]: true };
type AlwaysThere = {
  [E in EventName as PayloadOf<E> extends object ? E : never]: keyof Needed<PayloadOf<E>>;
};
export const nothing: { [E in Exclude<EventName, 'notification' | 'auth:expiring' | 'ticket:opened'>]: never } =
  {} as AlwaysThere;

export { handle };
