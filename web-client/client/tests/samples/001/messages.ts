import type { DataChange, Message, Notice, WidgetUpdate } from '@orgcast/client';

interface Of<Payload> {
  id: string;
  type: string;
  // Complete in the document; the server asks backends for no member.
  payload: Partial<Payload>;
  // A number in the document; the server sends ISO 8601.
  timestamp: string;
}

interface NotificationMessage extends Of<{
    title: string;
    body: string;
    icon?: string;
    url?: string;
    data?: Record<string, unknown>;
  }> {}

interface DashboardUpdateMessage extends Of<{
    widgetId: string;
    data: any;
    timestamp: number;
  }> {}

interface DataChangeMessage extends Of<{
    tableId: string;
    rowId: string;
    action: 'create' | 'update' | 'delete';
    data?: any;
    timestamp: number;
  }> {}

type Notification = Message<'notification'>;

export const accept = {
  notification: (message: Notification & { payload: Notice }): NotificationMessage => message,
  dashboard: (message: Notification & { payload: WidgetUpdate }): DashboardUpdateMessage => message,
  change: (message: Notification & { payload: DataChange }): DataChangeMessage => message,
};
