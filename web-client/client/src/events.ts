/**
 * The events that the server's built-in catalogue knows, with what they carry. The server passes on what a backend
 * posts, byte for byte, and asks for no member of it: every one may be missing.
 */

import type { BuiltInChannels, BuiltInEvents } from './built-in.js';

/** Where an event of the intraday console belongs. */
export interface Placed {
  organization_id?: string;
  department_id?: string;
  queue_name?: string;
}

export interface KpiUpdate extends Placed {
  /** ISO 8601. */
  timestamp?: string;
  utilization?: { current_utilization?: number; target_utilization?: number; [measure: string]: unknown };
  /** Heads missing (positive) or spare (negative), alone or with how it was computed. */
  headcount_gap?: number | { gap?: number; [measure: string]: unknown };
  sla_risk?: number | string | { level?: string; [measure: string]: unknown };
  /** 0 to 100. */
  health_score?: number;
  changes?: Record<string, unknown>;
}

export interface BacklogUpdate extends Placed {
  timestamp?: string;
  total_items?: number;
  oldest_item_minutes?: number;
  incoming_rate?: number;
  completion_rate?: number;
  [measure: string]: unknown;
}

export interface AttendanceUpdate extends Placed {
  timestamp?: string;
  scheduled?: number;
  present?: number;
  absent?: number;
  late?: number;
  on_break?: number;
  [measure: string]: unknown;
}

export interface AttendanceRecord extends Placed {
  timestamp?: string;
  employee_id?: string;
  [measure: string]: unknown;
}

export type AlertSeverity = 'low' | 'medium' | 'high' | 'critical' | (string & {});

export interface Alert extends Placed {
  alert_id?: string;
  rule_name?: string;
  severity?: AlertSeverity;
  message?: string;
  /** ISO 8601. */
  timestamp?: string;
  [measure: string]: unknown;
}

/** A notification, a widget's new data or a changed row: all three are events of this name. */
export type NotificationPayload = Notice | WidgetUpdate | DataChange;

export interface Notice {
  title?: string;
  body?: string;
  icon?: string;
  url?: string;
  data?: Record<string, unknown>;
}

export interface WidgetUpdate {
  widgetId: string;
  // biome-ignore lint/suspicious/noExplicitAny: the document gives `any`, and handlers reach into it
  data?: any;
  timestamp?: number;
}

export interface DataChange {
  tableId: string;
  rowId?: string;
  action?: 'create' | 'update' | 'delete';
  // biome-ignore lint/suspicious/noExplicitAny: the document gives `any`, and handlers reach into it
  data?: any;
  timestamp?: number;
}

export interface SystemNotification {
  message?: string;
  description?: string;
  [detail: string]: unknown;
}

export interface Shift {
  id?: string;
  employee_id?: string;
  status?: 'active' | 'paused' | 'completed' | 'cancelled';
  /** ISO 8601: dates are texts on the wire. */
  actual_start_at?: string;
  actual_end_at?: string | null;
  [detail: string]: unknown;
}

export interface Break {
  id?: string;
  shift_id?: string;
  start_at?: string;
  end_at?: string | null;
}

export interface Violation {
  id?: string;
  employee_id?: string;
  type?: 'late_start' | 'long_break' | 'missed_shift' | (string & {});
  severity?: number;
  description?: string;
  detected_at?: string;
}

export interface Exception {
  id?: string;
  [detail: string]: unknown;
}

export interface Employee {
  id?: string;
  status?: string;
  [detail: string]: unknown;
}

export interface DashboardStats {
  activeShifts?: number;
  activeEmployees?: number;
  totalViolations?: number;
  pendingExceptions?: number;
  avgRating?: number;
}

export interface Timesheet {
  id?: string;
  employee_id?: string;
  [detail: string]: unknown;
}

/** The server itself says when a client's token ends. */
export interface AuthExpiring {
  /** ISO 8601. */
  expires_at: string;
  expires_in_ms: number;
}

/** An event whose document gives no shape. */
export interface Details {
  // biome-ignore lint/suspicious/noExplicitAny: what a document leaves open, its handlers decide
  [detail: string]: any;
}

/**
 * Event names and their payloads, the server's `auth:expiring` among them. Add those of your server's configuration by
 * declaration merging, and their channels likewise:
 *
 *     declare module '@orgcast/client' {
 *       interface EventMap { 'ticket:opened': { id?: string } }
 *       interface ChannelMap { tickets: true }
 *     }
 *
 * and once for the program, in the options: `events: { 'ticket:opened': 'tickets' }`.
 */
export interface EventMap extends BuiltInEvents {
  'auth:expiring': AuthExpiring;
}

/** An event that may be handled: one of the catalogue, or one that was declared. */
export type EventName = keyof EventMap;

/** The name of an event that came. The server may know more of them than this program does. */
export type AnyEventName = EventName | (string & {});

export type PayloadOf<E extends string> = E extends EventName ? EventMap[E] : unknown;

/** The channels that may be subscribed to. Add your own as to `EventMap`. */
export interface ChannelMap extends BuiltInChannels {
  all: true;
}

export type Channel = keyof ChannelMap;

/** What a handler gets. The systems before name the same things differently; all their names are here. */
export interface Message<E extends string = AnyEventName> {
  id: string;
  type: E;
  event: E;
  payload: PayloadOf<E>;
  data: PayloadOf<E>;
  channel: string | null;
  priority: 'low' | 'medium' | 'high' | 'urgent';
  /** When the server published it, ISO 8601. */
  timestamp: string;
  organization_id?: string | undefined;
  companyId?: string | undefined;
  storeId?: string | undefined;
  tenant_id?: string | undefined;
  userId?: string | undefined;
  /** The connection that it came over. */
  sessionId?: string | undefined;
}

/** The message that a handler of this event gets; a handler of `*` gets them all. */
export type MessageOf<E extends EventName | '*'> = E extends EventName ? Message<E> : Message;
