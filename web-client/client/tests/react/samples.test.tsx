/** Every client sample of the five documents does what its document says. */
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { newOrganization, TestServer, until } from '../../../testkit/server.js';
import { getWebSocketClient, useWebSocket, WebSocketProvider, websocketClient } from '../../src/react/index.js';
import { Channels, CustomReconnection, ErrorHandling, ManualReconnection } from '../samples/000/advanced.js';
import { AppHeader } from '../samples/000/app-header.js';
import { Dashboard } from '../samples/000/basic.js';
import { DashboardStats } from '../samples/000/dashboard-stats.js';
import { App as NotificationApp } from '../samples/000/notification-listener.js';
import { ShiftsList } from '../samples/000/shifts-list.js';
import '../samples/000/testing.js';
import { ViolationsMonitor } from '../samples/000/violations-monitor.js';
import { ViolationsPanel } from '../samples/000/violations-panel.js';
import { DashboardWithRealtime, App as ProviderApp } from '../samples/001/frontend.js';
import * as basic002 from '../samples/002/basic.js';
import { TimesheetList } from '../samples/002/hook.js';
import * as multiple002 from '../samples/002/multiple.js';
import * as status002 from '../samples/002/status.js';
import { AlertBell } from '../samples/003/alert-bell.js';
import { App as ConsoleApp } from '../samples/003/app.js';
import * as client003 from '../samples/003/client.js';
import { AuthenticateButton, MyComponent as ContextComponent } from '../samples/004/context.js';
import { MyComponent as HookComponent } from '../samples/004/hook.js';

let server: TestServer;
const globals = globalThis as unknown as Record<string, unknown>;
const said: unknown[][] = [];
const fn = () => vi.fn((..._arguments: unknown[]) => {});
let toast: ReturnType<typeof fn> & { error: ReturnType<typeof fn>; success: ReturnType<typeof fn>; warning: unknown };
let queryClient: { invalidateQueries: ReturnType<typeof fn>; setQueryData: ReturnType<typeof fn> };
let org: string;

beforeAll(async () => {
  server = await TestServer.start('--channels', 'high-priority-violations,employee-status-changes');
  vi.spyOn(console, 'log').mockImplementation((...words) => {
    said.push(words);
  });
});
afterAll(() => server.stop());

beforeEach(() => {
  said.length = 0;
  org = newOrganization();
  toast = Object.assign(fn(), { error: fn(), success: fn(), warning: fn() });
  queryClient = { invalidateQueries: fn(), setQueryData: fn() };
  Object.assign(globals, {
    SERVER_URL: server.url,
    user: { id: 'user_1', company_id: org },
    userId: 'user_123',
    organizationId: 'org_123',
    toast,
    queryClient,
    useQueryClient: () => queryClient,
    showToast: fn(),
    refetch: fn(),
    Sentry: { captureException: fn() },
    handleApproval: fn(),
    handleRejection: fn(),
    handleAnnotation: fn(),
    Routes: () => null,
    Button: 'button',
    Stat: ({ label, value }: { label: string; value: unknown }) => <p>{`${label}: ${value ?? '-'}`}</p>,
    ViolationCard: ({ violation }: { violation: { id: string } }) => <p>{`card ${violation.id}`}</p>,
  });
});

/** Where the page's client connects; the documents' own pages have the server at their origin. */
function atServer(more: object = {}): void {
  getWebSocketClient({ url: server.url, autoConnect: true, ...more });
}

async function subscribed(room: string, organization = org): Promise<void> {
  const name = room.replace('ORG', organization);
  await until(async () => {
    const connections = await server.connections(organization);
    return connections.some(({ subscriptions }) => subscriptions.includes(name));
  }, `somebody in ${name}`);
}

const violation = {
  id: 'v1',
  employee_id: 'e',
  type: 'late_start',
  severity: 8,
  description: 'came late',
  detected_at: '2025-01-01T00:00:00Z',
};

describe('document 000', () => {
  it('the basic hook shows that it is live and handles a started shift', async () => {
    atServer();
    render(<Dashboard />);
    expect(screen.getByText('🔴 Offline')).toBeTruthy();
    await screen.findByText('🟢 Live');
    await subscribed('shifts:org:ORG');
    await server.event('shift.started', org, { id: 's1' });
    await waitFor(() => expect(queryClient.invalidateQueries).toHaveBeenCalledWith(['shifts']));
    expect(said).toEqual([['New shift started:', { id: 's1' }]]);
  });

  it('the panel lists a violation that is detected, and toasts', async () => {
    atServer();
    render(<ViolationsPanel />);
    await subscribed('violations:org:ORG');
    await server.event('violation.detected', org, violation);
    await screen.findByText('card v1');
    expect(toast.error).toHaveBeenCalledExactlyOnceWith('New violation: late_start');
  });

  it('the statistics are those of the last update', async () => {
    atServer();
    render(<DashboardStats />);
    await subscribed('dashboard:org:ORG');
    await server.event('dashboard.stats_updated', org, { activeShifts: 12, violations: 3 });
    await screen.findByText('Active Shifts: 12');
    await screen.findByText('Violations: 3');
  });

  it('the list of shifts hears everything that happens to shifts', async () => {
    atServer();
    render(<ShiftsList />);
    await subscribed('shifts:org:ORG');
    for (const event of ['started', 'ended', 'paused', 'cancelled', 'updated']) {
      await server.event(`shift.${event}`, org, { id: event });
    }
    await waitFor(() => expect(queryClient.setQueryData).toHaveBeenCalledTimes(5));
    expect(queryClient.setQueryData).toHaveBeenLastCalledWith(['shift', 'updated'], { id: 'updated' });
  });

  it('the monitor toasts a severe violation', async () => {
    atServer();
    render(<ViolationsMonitor />);
    await subscribed('violations:org:ORG');
    await server.event('violation.created', org, { ...violation, severity: 3 });
    await server.event('violation.detected', org, violation);
    await waitFor(() => expect(queryClient.invalidateQueries).toHaveBeenCalledTimes(2));
    expect(toast.error.mock.calls).toEqual([['High severity violation detected!', { description: 'came late' }]]);
  });

  it('the header shows the state of the connection', async () => {
    atServer();
    render(<AppHeader />);
    await screen.findByText('Live');
    await until(async () => (await server.connections(org))[0]?.user_id === 'user_1', 'the user');
  });

  it('the notification listener toasts, whoever says who the user is', async () => {
    atServer();
    render(
      <>
        <NotificationApp />
        <AppHeader />
      </>,
    );
    await until(async () => (await server.connections(org)).length, 'the connection');
    await server.event('system.notification', org, { message: 'Welcome back!', description: 'again' });
    await waitFor(() => expect(toast).toHaveBeenCalledWith('Welcome back!', { description: 'again' }));
    expect(await server.connections(org)).toHaveLength(1);
  });

  it('channels are subscribed to and left', async () => {
    atServer();
    const { unmount } = render(<Channels />);
    await subscribed('high-priority-violations:org:ORG');
    await subscribed('employee-status-changes:org:ORG');
    getWebSocketClient({ companyId: org });
    unmount();
    await until(async () => (await server.connections(org))[0]?.subscriptions.length === 0, 'the channels to be left');
  });

  it('a button reconnects', async () => {
    atServer({ userId: 'u', companyId: org, autoConnect: false });
    render(<ManualReconnection />);
    await waitFor(() => expect(screen.queryByText('Reconnect')).toBeNull());
    act(() => getWebSocketClient().disconnect());
    fireEvent.click(await screen.findByText('Reconnect'));
    await waitFor(() => expect(screen.queryByText('Reconnect')).toBeNull());
  });

  it('errors, the loss and the connection are told', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const own = await TestServer.start();
    getWebSocketClient({ url: own.url, autoConnect: true, reconnectBaseDelay: 20 });
    render(<ErrorHandling />);
    await waitFor(() => expect(toast.success).toHaveBeenCalledWith('Connected to real-time updates'));
    await act(() => own.stop());
    await waitFor(() => expect(toast.warning).toHaveBeenCalledWith('Lost connection. Reconnecting...'));
    const { captureException } = globals.Sentry as { captureException: ReturnType<typeof fn> };
    await waitFor(() => expect(captureException.mock.calls[0]?.[0]).toMatchObject({ code: 'CONNECTION_FAILED' }));
    vi.mocked(console.error).mockRestore();
  });

  it('a reconnection strategy of one’s own is taken', async () => {
    atServer();
    render(<CustomReconnection />);
    await screen.findByText('CONNECTED');
  });
});

describe('document 001', () => {
  it('the provider connects over plain WebSocket, and its context hears notifications', async () => {
    // The sample says nothing of who it is: its server reads the session.
    getWebSocketClient({ url: server.url.replace('http', 'ws'), userId: 'u', organizationId: org, autoConnect: false });
    render(<ProviderApp />);
    await subscribed('notifications:org:ORG');
    expect((await server.connections(org))[0]?.protocol).toBe('websocket');
    await server.event('notification', org, { title: 'System Update', body: 'at 2:00 AM' });
    await waitFor(() => expect(said).toHaveLength(1));
    expect(said[0]).toMatchObject([
      'Received update:',
      { type: 'notification', payload: { title: 'System Update', body: 'at 2:00 AM' } },
    ]);
  });

  it('the realtime dashboard gets widgets and statistics, and no other notifications', async () => {
    atServer({ userId: 'u', organizationId: org });
    render(<DashboardWithRealtime />);
    await screen.findByText('Status: CONNECTED');
    await subscribed('notifications:org:ORG');
    await subscribed('dashboard:org:ORG');
    const widget = { widgetId: 'widget1', data: { value: 100 }, timestamp: 1 };
    await server.event('notification', org, { title: 'a', body: 'b' });
    await server.event('notification', org, widget);
    await server.event('dashboard.stats_updated', org, { activeShifts: 1 });
    await waitFor(() => expect(said).toHaveLength(2));
    expect(said).toEqual([
      ['Dashboard updated:', widget],
      ['Dashboard updated:', { activeShifts: 1 }],
    ]);
  });
});

describe('document 002', () => {
  it('the basic setup connects with its token, which a server without keys refuses by code', async () => {
    atServer({ autoConnect: false });
    basic002.sample();
    getWebSocketClient().connect('your-jwt-token');
    await until(() => getWebSocketClient().state.status === 'error', 'the refusal');
    expect(getWebSocketClient().state.error?.code).toBe('AUTH_FAILED');
  });

  it('the form of useWebSocket inside an effect handles an approval, and ends with the component', async () => {
    atServer({ userId: 'u', tenantId: org });
    const { unmount } = render(<TimesheetList />);
    await subscribed('timesheets:org:ORG');
    await server.event('timesheet:approved', org, { id: 'ts-456', employee_id: 'emp-789' });
    await waitFor(() => expect(toast.success).toHaveBeenCalledExactlyOnceWith('Timesheet ts-456 approved!'));
    expect(globals.refetch).toHaveBeenCalledOnce();
    unmount();
    await until(async () => (await server.connections(org))[0]?.subscriptions.length === 0, 'the channel to be left');
  });

  it('several event types are handled, each by its own', async () => {
    atServer({ userId: 'u', tenantId: org });
    const cleanup = multiple002.sample();
    await subscribed('timesheets:org:ORG');
    for (const event of ['approved', 'rejected', 'annotated']) {
      await server.event(`timesheet:${event}`, org, { id: event });
    }
    for (const [name, id] of [
      ['handleApproval', 'approved'],
      ['handleRejection', 'rejected'],
      ['handleAnnotation', 'annotated'],
    ] as const) {
      await waitFor(() => expect(globals[name]).toHaveBeenCalledOnce());
      expect((globals[name] as ReturnType<typeof fn>).mock.calls[0]?.[0]).toMatchObject({ payload: { id } });
    }
    cleanup();
  });

  it('the client knows whether it is connected', async () => {
    atServer({ userId: 'u', tenantId: org });
    status002.sample();
    await until(() => getWebSocketClient().isConnected, 'the connection');
    status002.sample();
    expect(said).toEqual([['WebSocket disconnected'], ['WebSocket connected']]);
  });
});

describe('document 003', () => {
  it('the client initializes, authenticates, subscribes and handles', async () => {
    const off = client003.handleEvents();
    await client003.initialize();
    expect(websocketClient).toMatchObject({ isConnected: true, isAuthenticated: true, connectionStatus: 'connected' });
    await client003.subscribe();
    const [connection] = await server.connections('org_123');
    expect(connection).toMatchObject({
      user_id: 'user_123',
      subscriptions: ['alerts:org:org_123', 'kpi:org:org_123:dept:dept_456:queue:support'],
    });
    const kpi = { organization_id: 'org_123', department_id: 'dept_456', queue_name: 'support', health_score: 85 };
    await server.broadcast('/kpi', { ...kpi, queue_name: 'sales' });
    await server.broadcast('/kpi', kpi);
    const alert = { organization_id: 'org_123', rule_name: 'r', severity: 'high' };
    await server.broadcast('/alert', alert);
    await until(() => said.length >= 3, 'all handlers');
    expect(said).toEqual([['Connected'], ['KPI update:', kpi], ['Alert:', alert]]);
    websocketClient.disconnect();
    expect(said.at(-1)).toEqual(['Disconnected:', 'closed by the client']);
    client003.configure();
    off();
  });

  it('the app connects and authenticates, and its widget shows what comes', async () => {
    render(<ConsoleApp />);
    expect(screen.getByText(/Status: connecting/)).toBeTruthy();
    await screen.findByText('Waiting for updates...');
    expect(screen.getByText(/Status: connected/)).toBeTruthy();
    await subscribed('kpi:org:ORG:queue:support', 'org_123');
    const kpi = { organization_id: 'org_123', queue_name: 'support', health_score: 85 };
    await server.broadcast('/kpi', { ...kpi, utilization: { current_utilization: 82.5 } });
    await screen.findByText('Utilization: 82.5%');
    await screen.findByText('Health: 85');
    expect(await server.connections('org_123')).toHaveLength(1);
  });

  it('the bell counts alerts, shows a toast, and is cleared by a click', async () => {
    atServer({ userId: 'u', organizationId: 'org_123' });
    render(<AlertBell />);
    await subscribed('alerts:org:ORG', 'org_123');
    await server.broadcast('/alert', { organization_id: 'org_123', rule_name: 'SLA', severity: 'critical' });
    const badge = await screen.findByText('1');
    expect(globals.showToast).toHaveBeenCalledExactlyOnceWith('Alert: SLA', 'critical');
    fireEvent.click(badge);
    expect(screen.queryByText('1')).toBeNull();
  });
});

describe('document 004', () => {
  it('the hook shows the connection and has the last message', async () => {
    atServer({ userId: 'u', storeId: org });
    const messages: unknown[] = [];
    function Last(): ReactNode {
      messages.push(useWebSocket().lastMessage);
      return null;
    }
    render(
      <>
        <HookComponent />
        <Last />
      </>,
    );
    await screen.findByText('Connection Status: CONNECTED');
    await screen.findByText('Connected: Yes');
    await subscribed('all:org:ORG');
    await server.event('PROFILE_UPDATED', org, { action: 'profile_updated' });
    await waitFor(() => expect(messages.at(-1)).not.toBeNull());
    expect(messages.at(-1)).toMatchObject({
      type: 'PROFILE_UPDATED',
      data: { action: 'profile_updated' },
      storeId: org,
    });
  });

  it('the context sends messages, one of which says who it is', async () => {
    render(
      <WebSocketProvider options={{ url: server.url }}>
        <ContextComponent />
        <AuthenticateButton />
      </WebSocketProvider>,
    );
    await screen.findByText('Not signed in');
    fireEvent.click(screen.getByText('Authenticate'));
    await until(async () => (await server.connections('store456'))[0]?.user_id === 'user123', 'the user');
    await screen.findByText('Live');
    await screen.findByText(/ms/);
    fireEvent.click(screen.getByText('Send Test Message'));
    await waitFor(() => expect(getWebSocketClient().state.error?.code).toBe('INVALID_MESSAGE'));
  });
});
