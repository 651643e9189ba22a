'use client';

export { disconnectAll, getWebSocketClient, websocketClient } from '../index.js';
export {
  type DashboardPayload,
  type DashboardRealtime,
  type DashboardRealtimeOptions,
  useDashboardRealtime,
} from './dashboard.js';
export {
  type AlertNotifications,
  type EventOptions,
  type Updates,
  useAlertNotifications,
  useAttendanceUpdates,
  useBacklogUpdates,
  useDashboardUpdates,
  useKPIUpdates,
  useShiftUpdates,
  useViolationUpdates,
  useWebSocketEvent,
} from './events.js';
export { FrameValue } from './frame.js';
export { useWebSocketHealth, type WebSocketHealth } from './health.js';
export { useWebSocketContext, WebSocketProvider, type WebSocketProviderProps } from './provider.js';
export { WebSocketStatus, WebSocketStatusIndicator, type WebSocketStatusProps } from './status.js';
export { type Subscription, useWebSocketSubscription } from './subscription.js';
export {
  type UseWebSocketOptions,
  type UseWebSocketResult,
  useWebSocket,
  type WebSocketActions,
  type WebSocketStatusName,
} from './use-websocket.js';
