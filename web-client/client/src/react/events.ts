import { useCallback, useEffect, useMemo, useSyncExternalStore } from 'react';

import type {
  Alert,
  AttendanceUpdate,
  BacklogUpdate,
  Channel,
  DashboardStats,
  EventName,
  KpiUpdate,
  Message,
  MessageOf,
  Shift,
  Violation,
} from '../events.js';
import { type Filter, type Id, isAt, toPlace } from '../filter.js';
import { checkHandler } from '../names.js';
import type { Options } from '../options.js';
import { type Binding, useBinding, useLatest } from './binding.js';
import { FrameValue } from './frame.js';
import { useConnectionState } from './use-websocket.js';

export interface EventOptions extends Options {
  /** Listen; true. */
  enabled?: boolean | undefined;
  /** The channel of an event that the server's configuration added or moved. */
  channel?: Channel | undefined;
}

const NONE: EventOptions = {};

/** Whoever only says where to listen is content with the connection that is there. */
function isHint(options: EventOptions): boolean {
  return !(options.userId ?? options.user_id ?? options.getToken ?? options.token ?? options.url);
}

type Handler = (payload: never, message: Message) => void;

/** Handles some events at a place, over a subscription of its own to their channels. */
function useEvents(events: readonly (EventName | '*')[], options: EventOptions, handler: Handler): Binding {
  checkHandler(events.join(', '), handler);
  const binding = useBinding(options, isHint(options));
  const latest = useLatest(handler);
  const { enabled = true, channel } = options;
  const key = JSON.stringify([events, toPlace(options), channel]);
  useEffect(() => {
    if (!enabled) return;
    const [names, place, ownChannel] = JSON.parse(key) as [EventName[], Filter, Channel | null];
    const { client } = binding;
    const offs = names.map((name) =>
      client.on(
        name,
        (message) => {
          if (isAt(toPlace(place), message.payload)) latest.current(message.payload as never, message as Message);
        },
        { filter: place, channel: ownChannel ?? undefined },
      ),
    );
    return () => {
      for (const off of offs) off();
    };
  }, [binding, enabled, key, latest]);
  return binding;
}

/** Handles one event. The handler gets the payload, and the whole message beside it. */
export function useWebSocketEvent<E extends EventName | '*'>(
  event: E,
  handler: (payload: MessageOf<E>['payload'], message: MessageOf<E>) => void,
  options: EventOptions = NONE,
): void {
  useEvents([event], options, handler as unknown as Handler);
}

/** Statistics of the dashboard. */
export function useDashboardUpdates(
  companyId: Id | undefined,
  handler: (stats: DashboardStats, message: Message) => void,
  options: EventOptions = NONE,
): void {
  useEvents(['dashboard.stats_updated'], useAt(companyId, options), handler);
}

const SHIFT_EVENTS = [
  'shift.started',
  'shift.ended',
  'shift.paused',
  'shift.cancelled',
  'shift.updated',
] as const satisfies EventName[];

/** Everything that happens to shifts; `message.type` says what. */
export function useShiftUpdates(
  companyId: Id | undefined,
  handler: (shift: Shift, message: Message) => void,
  options: EventOptions = NONE,
): void {
  useEvents(SHIFT_EVENTS, useAt(companyId, options), handler);
}

/** Violations that were found or entered. */
export function useViolationUpdates(
  companyId: Id | undefined,
  handler: (violation: Violation, message: Message) => void,
  options: EventOptions = NONE,
): void {
  useEvents(['violation.detected', 'violation.created'], useAt(companyId, options), handler);
}

function useAt(companyId: Id | undefined, options: EventOptions): EventOptions {
  return useMemo(
    () => ({ ...options, companyId, enabled: options.enabled ?? companyId !== undefined }),
    [companyId, options],
  );
}

export interface Updates<T> {
  /** The last update, at most one a frame. */
  latestUpdate: T | null;
  updateCount: number;
  isConnected: boolean;
}

function useUpdates<T>(
  event: EventName,
  handler: ((payload: T) => void) | undefined,
  options: EventOptions,
): Updates<T> {
  if (handler) checkHandler(event, handler);
  const key = JSON.stringify(toPlace(options));
  // Another place begins with nothing.
  const seen = useMemo(() => new FrameValue({ key, latest: null as T | null, count: 0 }), [key]);
  const binding = useEvents([event], options, (payload: T) => {
    seen.change(({ count }) => ({ key, latest: payload, count: count + 1 }));
    handler?.(payload);
  });
  const { isConnected } = useConnectionState(binding);
  const { latest, count } = useSyncExternalStore(seen.watch, seen.get, seen.get);
  return { latestUpdate: latest, updateCount: count, isConnected };
}

export function useKPIUpdates(
  onUpdate?: (payload: KpiUpdate) => void,
  options: EventOptions = NONE,
): Updates<KpiUpdate> {
  return useUpdates('kpi:update', onUpdate, options);
}

export function useBacklogUpdates(
  onUpdate?: (payload: BacklogUpdate) => void,
  options: EventOptions = NONE,
): Updates<BacklogUpdate> {
  return useUpdates('backlog:update', onUpdate, options);
}

export function useAttendanceUpdates(
  onUpdate?: (payload: AttendanceUpdate) => void,
  options: EventOptions = NONE,
): Updates<AttendanceUpdate> {
  return useUpdates('attendance:update', onUpdate, options);
}

export interface AlertNotifications {
  latestAlert: Alert | null;
  /** Alerts since the count was cleared. */
  alertCount: number;
  clearAlertCount: () => void;
  isConnected: boolean;
}

export function useAlertNotifications(
  onAlert?: (alert: Alert) => void,
  options: EventOptions = NONE,
): AlertNotifications {
  if (onAlert) checkHandler('alert:triggered', onAlert);
  const key = JSON.stringify(toPlace(options));
  const seen = useMemo(() => new FrameValue({ key, latest: null as Alert | null, count: 0 }), [key]);
  const binding = useEvents(['alert:triggered'], options, (alert: Alert) => {
    seen.change(({ count }) => ({ key, latest: alert, count: count + 1 }));
    onAlert?.(alert);
  });
  const { isConnected } = useConnectionState(binding);
  const { latest, count } = useSyncExternalStore(seen.watch, seen.get, seen.get);
  const clearAlertCount = useCallback(() => seen.show({ key, latest: seen.get().latest, count: 0 }), [seen, key]);
  return { latestAlert: latest, alertCount: count, clearAlertCount, isConnected };
}
