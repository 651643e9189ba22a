import type { Message } from './events.js';
import type { Meta } from './transport.js';

/** What the server says of whom it has authenticated. */
export interface Welcome {
  connection_id: string;
  user_id: string;
  organization_id: string;
  expires_at: string | null;
}

/** A message as handlers get it. The tenant is the connection's own: the server lets nothing of another through. */
export function makeMessage(
  event: string,
  payload: unknown,
  meta: Meta,
  welcome: Welcome | undefined,
  now: number,
): Message {
  const organization = welcome?.organization_id;
  return {
    id: meta.id ?? '',
    type: event,
    event,
    payload,
    data: payload,
    channel: meta.channel ?? null,
    priority: meta.priority ?? 'medium',
    timestamp: meta.timestamp ?? new Date(now).toISOString(),
    organization_id: organization,
    companyId: organization,
    storeId: organization,
    tenant_id: organization,
    userId: welcome?.user_id,
    sessionId: welcome?.connection_id,
  };
}
