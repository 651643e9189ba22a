import type { UseWebSocketOptions } from '@hooks/useDashboardRealtime';

interface WebSocketClientConfig {
  reconnectEnabled: boolean;        // Enable reconnection (default: true)
  reconnectMaxAttempts: number;     // Max reconnection attempts (default: 10)
  reconnectBaseDelay: number;       // Base reconnection delay in ms (default: 1000)
  reconnectMaxDelay: number;        // Max reconnection delay in ms (default: 30000)
  heartbeatInterval: number;        // Heartbeat interval in ms (default: 30000)
  heartbeatTimeout: number;         // Heartbeat timeout in ms (default: 10000)
  debug: boolean;                   // Enable debug logging (default: false)
}

export const accept = (config: WebSocketClientConfig): UseWebSocketOptions => config;
