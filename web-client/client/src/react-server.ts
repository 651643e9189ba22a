/**
 * What a server component gets for `@orgcast/client/react`. What it may render, and what it hands on, are references
 * to the browser's modules; a hook says where it belongs.
 */
export {
  disconnectAll,
  FrameValue,
  getWebSocketClient,
  WebSocketProvider,
  WebSocketStatus,
  WebSocketStatusIndicator,
  websocketClient,
} from './react/index.js';

export const useAlertNotifications = ofTheBrowser('useAlertNotifications');
export const useAttendanceUpdates = ofTheBrowser('useAttendanceUpdates');
export const useBacklogUpdates = ofTheBrowser('useBacklogUpdates');
export const useDashboardRealtime = ofTheBrowser('useDashboardRealtime');
export const useDashboardUpdates = ofTheBrowser('useDashboardUpdates');
export const useKPIUpdates = ofTheBrowser('useKPIUpdates');
export const useShiftUpdates = ofTheBrowser('useShiftUpdates');
export const useViolationUpdates = ofTheBrowser('useViolationUpdates');
export const useWebSocket = ofTheBrowser('useWebSocket');
export const useWebSocketContext = ofTheBrowser('useWebSocketContext');
export const useWebSocketEvent = ofTheBrowser('useWebSocketEvent');
export const useWebSocketHealth = ofTheBrowser('useWebSocketHealth');
export const useWebSocketSubscription = ofTheBrowser('useWebSocketSubscription');

function ofTheBrowser(name: string): () => never {
  return () => {
    throw new Error(`${name} is a hook of client components: write 'use client' at the top of the file that calls it`);
  };
}
