// Written by `npm run catalogue` from src/domain/catalogue.json: edit that.

import type {
  Alert,
  AttendanceRecord,
  AttendanceUpdate,
  BacklogUpdate,
  Break,
  DashboardStats,
  Details,
  Employee,
  Exception,
  KpiUpdate,
  NotificationPayload,
  Shift,
  SystemNotification,
  Timesheet,
  Violation,
} from './events.js';

/** The built-in events with what they carry. */
export interface BuiltInEvents {
  'kpi:update': KpiUpdate;
  'kpi:computed': KpiUpdate;
  'kpi:alert': Alert;
  'backlog:update': BacklogUpdate;
  'backlog:snapshot': BacklogUpdate;
  'backlog:alert': Alert;
  'attendance:update': AttendanceUpdate;
  'attendance:checkin': AttendanceRecord;
  'attendance:checkout': AttendanceRecord;
  'attendance:alert': Alert;
  'alert:triggered': Alert;
  'alert:acknowledged': Alert;
  'alert:resolved': Alert;
  'alert:escalated': Alert;
  notification: NotificationPayload;
  'notification:new': Details;
  GENERAL_NOTIFICATION: Details;
  'shift.started': Shift;
  'shift.ended': Shift;
  'shift.paused': Shift;
  'shift.cancelled': Shift;
  'shift.updated': Shift;
  'break.started': Break;
  'break.ended': Break;
  'violation.created': Violation;
  'violation.detected': Violation;
  'exception.created': Exception;
  'exception.resolved': Exception;
  'employee.created': Employee;
  'employee.updated': Employee;
  'employee.status_changed': Employee;
  'dashboard.stats_updated': DashboardStats;
  'timesheet:approved': Timesheet;
  'timesheet:rejected': Timesheet;
  'timesheet:annotated': Timesheet;
  'deadline:reminder': Details;
  PROFILE_UPDATED: Details;
  USER_JOINED: Details;
  USER_LEFT: Details;
  ORDER_CREATED: Details;
  ORDER_UPDATED: Details;
  ORDER_STATUS_CHANGED: Details;
  CUSTOMER_CREATED: Details;
  CUSTOMER_UPDATED: Details;
  STORE_UPDATED: Details;
  PRODUCT_UPDATED: Details;
  CATEGORY_UPDATED: Details;
  'system:notification': SystemNotification;
  'system:broadcast': Details;
  'system:maintenance': Details;
  'system.notification': SystemNotification;
}

/** The channels that built-in events go to. */
export interface BuiltInChannels {
  kpi: true;
  backlog: true;
  attendance: true;
  alerts: true;
  notifications: true;
  shifts: true;
  breaks: true;
  violations: true;
  exceptions: true;
  employees: true;
  dashboard: true;
  timesheets: true;
  deadlines: true;
  profiles: true;
  orders: true;
  customers: true;
  stores: true;
}

/** The built-in events by their channels. */
export const CATALOGUE = {
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
} as const satisfies Record<keyof BuiltInChannels, readonly (keyof BuiltInEvents)[]>;

/** Events that go to the whole organization. */
export const WITHOUT_CHANNEL = [
  'system:notification',
  'system:broadcast',
  'system:maintenance',
  'system.notification',
] as const;
