import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';

import type { DashboardStats, Message, WidgetUpdate } from '../events.js';
import { useLatest } from './binding.js';
import { type EventOptions, useWebSocketEvent } from './events.js';
import { FrameValue } from './frame.js';
import { useWebSocket, type WebSocketStatusName } from './use-websocket.js';

export type DashboardPayload = WidgetUpdate | DashboardStats;

export interface DashboardRealtimeOptions extends EventOptions {
  /** A widget's new data, or new statistics. */
  onUpdate?: ((payload: DashboardPayload, message: Message) => void) | undefined;
  /** How often to refresh what no event tells, in milliseconds; never. */
  autoRefreshInterval?: number | undefined;
  /** Called for every such refresh. */
  onRefresh?: (() => void) | undefined;
}

export interface DashboardRealtime {
  isConnected: boolean;
  status: WebSocketStatusName;
  lastUpdate: DashboardPayload | null;
  /** When it was last refreshed; changes every `autoRefreshInterval` and so renders again. */
  refreshedAt: number | null;
}

const NONE: DashboardRealtimeOptions = {};

/** Widgets' data (events `notification` with a `widgetId`) and statistics (`dashboard.stats_updated`). */
export function useDashboardRealtime(options: DashboardRealtimeOptions = NONE): DashboardRealtime {
  const { enabled = true, autoRefreshInterval, onUpdate, onRefresh } = options;
  const { isConnected, status } = useWebSocket(options);
  const seen = useMemo(() => new FrameValue<DashboardPayload | null>(null), []);
  const update = (payload: DashboardPayload, message: Message) => {
    seen.change(() => payload);
    onUpdate?.(payload, message);
  };
  useWebSocketEvent('dashboard.stats_updated', (stats, message) => update(stats, message as Message), options);
  useWebSocketEvent(
    'notification',
    (payload, message) => {
      if (payload !== null && typeof payload === 'object' && 'widgetId' in payload) update(payload, message as Message);
    },
    options,
  );
  const refresh = useLatest(onRefresh);
  const [refreshedAt, setRefreshedAt] = useState<number | null>(null);
  useEffect(() => {
    if (!enabled || !autoRefreshInterval) return;
    const timer = setInterval(() => {
      refresh.current?.();
      setRefreshedAt(Date.now());
    }, autoRefreshInterval);
    return () => clearInterval(timer);
  }, [enabled, autoRefreshInterval, refresh]);
  const lastUpdate = useSyncExternalStore(seen.watch, seen.get, () => null);
  return { isConnected, status, lastUpdate, refreshedAt };
}
