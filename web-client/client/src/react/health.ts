import type { OrgcastError } from '../errors.js';
import type { ConnectionState } from '../types.js';
import { useBinding } from './binding.js';
import { type UseWebSocketOptions, useConnectionState } from './use-websocket.js';

export interface WebSocketHealth {
  /** Live, and the last ping was answered in good time. */
  isHealthy: boolean;
  isConnected: boolean;
  isAuthenticated: boolean;
  /** Authenticated, and every subscription is in place. */
  isLive: boolean;
  status: ConnectionState['status'];
  /** Round trip of the last ping in milliseconds. */
  latency: number | null;
  lastPongAt: Date | null;
  connectedAt: Date | null;
  transport: ConnectionState['transport'];
  reconnectAttempts: number;
  error: OrgcastError | null;
}

const NONE: UseWebSocketOptions = {};

/** A round trip above this is not healthy. */
const SLOW_MS = 2000;

export function useWebSocketHealth(options: UseWebSocketOptions = NONE): WebSocketHealth {
  const state = useConnectionState(useBinding(options, options.url === undefined && options.userId === undefined));
  const { isConnected, isAuthenticated, isLive } = state;
  const { status, latency, lastPongAt, connectedAt, transport, reconnectAttempts, error } = state;
  return {
    isHealthy: isLive && (latency === null || latency < SLOW_MS),
    isConnected,
    isAuthenticated,
    isLive,
    status,
    latency: isConnected ? latency : null,
    lastPongAt: lastPongAt === null ? null : new Date(lastPongAt),
    connectedAt: isConnected && connectedAt !== null ? new Date(connectedAt) : null,
    transport,
    reconnectAttempts,
    error,
  };
}
