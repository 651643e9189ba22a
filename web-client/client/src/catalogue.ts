import type { Channel, EventName } from './events.js';

/** The built-in events by their channels. */
const CATALOGUE = {
  kpi: ['kpi:update', 'kpi:computed', 'kpi:alert'],
  backlog: ['backlog:update', 'backlog:snapshot', 'backlog:alert'],
  attendance: ['attendance:update', 'attendance:checkin', 'attendance:checkout', 'attendance:alert'],
  alerts: ['alert:triggered', 'alert:acknowledged', 'alert:resolved', 'alert:escalated'],
  notifications: ['notification', 'notification:new', 'GENERAL_NOTIFICATION'],
  shifts: ['shift.started', 'shift.ended', 'shift.paused', 'shift.cancelled', 'shift.updated'],
  breaks: ['break.started', 'break.ended'],
  violations: ['violation.created', 'violation.detected'],
  exceptions: ['exception.created', 'exception.resolved'],
  employees: ['employee.created', 'employee.updated', 'employee.status_changed'],
  dashboard: ['dashboard.stats_updated'],
  timesheets: ['timesheet:approved', 'timesheet:rejected', 'timesheet:annotated'],
  deadlines: ['deadline:reminder'],
  profiles: ['PROFILE_UPDATED', 'USER_JOINED', 'USER_LEFT'],
  orders: ['ORDER_CREATED', 'ORDER_UPDATED', 'ORDER_STATUS_CHANGED'],
  customers: ['CUSTOMER_CREATED', 'CUSTOMER_UPDATED'],
  stores: ['STORE_UPDATED', 'PRODUCT_UPDATED', 'CATEGORY_UPDATED'],
} as const satisfies Partial<Record<Channel, readonly EventName[]>>;

/** Events that go to the whole organization, or to one client. */
const WITHOUT_CHANNEL = [
  'system:notification',
  'system:broadcast',
  'system:maintenance',
  'system.notification',
  'auth:expiring',
] as const satisfies readonly EventName[];

const CHANNELS = Object.entries(CATALOGUE) as [Channel, readonly string[]][];

/** The channel that an event goes to unless the server is configured otherwise; `undefined` if it goes to all. */
export function channelOf(event: string): Channel | undefined {
  return CHANNELS.find(([, events]) => events.includes(event))?.[0];
}

/** Every built-in event. */
export function catalogue(): string[] {
  return [...CHANNELS.flatMap(([, events]) => events), ...WITHOUT_CHANNEL];
}
