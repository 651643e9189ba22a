import { act, render, renderHook, screen, waitFor } from '@testing-library/react';
import { type ReactNode, StrictMode, useEffect, useState, version } from 'react';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newOrganization, output, TestServer, until } from '../../../testkit/server.js';
import type { Channel } from '../../src/index.js';
import {
  getWebSocketClient,
  type UseWebSocketOptions,
  useAlertNotifications,
  useAttendanceUpdates,
  useBacklogUpdates,
  useKPIUpdates,
  useShiftUpdates,
  useWebSocket,
  useWebSocketContext,
  useWebSocketEvent,
  useWebSocketHealth,
  useWebSocketSubscription,
  WebSocketProvider,
  WebSocketStatus,
} from '../../src/react/index.js';

/** One that the server is configured with. */
const OWN_CHANNEL = 'high-priority-violations' as Channel;

let server: TestServer;
let org: string;
let options: UseWebSocketOptions;

beforeAll(async () => {
  server = await TestServer.start('--channels', OWN_CHANNEL, '--max-connections-per-org', '20');
});
afterAll(() => server.stop());
beforeEach(() => {
  org = newOrganization();
  options = { url: server.url, userId: 'u', organizationId: org, reconnectBaseDelay: 50, reconnectMaxDelay: 100 };
});

function inProvider({ children }: { children: ReactNode }): ReactNode {
  return <WebSocketProvider options={options}>{children}</WebSocketProvider>;
}

async function rooms(): Promise<string[]> {
  return (await server.connections(org)).flatMap(({ subscriptions }) => subscriptions);
}

async function subscribed(...names: string[]): Promise<void> {
  const wanted = names.map((name) => name.replace('ORG', org)).sort();
  await until(async () => JSON.stringify((await rooms()).sort()) === JSON.stringify(wanted), `rooms ${wanted}`);
}

it('runs on the React that it is told to', () => {
  expect(version.split('.')[0]).toBe(process.env.REACT ?? '19');
});

describe('useWebSocket', () => {
  it('is about to connect at first, then connected and authenticated', async () => {
    const { result } = renderHook(() => useWebSocket(options));
    expect(result.current).toMatchObject({ isConnected: false, status: 'CONNECTING', lastMessage: null });
    await waitFor(() => expect(result.current.isLive).toBe(true));
    expect(result.current).toMatchObject({
      isConnected: true,
      isAuthenticated: true,
      status: 'CONNECTED',
      connectionStatus: 'connected',
      error: null,
    });
  });

  it('makes one connection of many hooks, in StrictMode and over remounts', async () => {
    function Many({ round }: { round: number }): ReactNode {
      useWebSocket({ ...options });
      useKPIUpdates(undefined, { organization_id: org });
      useWebSocketEvent('alert:triggered', () => {}, { companyId: org });
      useShiftUpdates(org, () => {});
      useWebSocketHealth();
      return <WebSocketStatus userId="u" companyId={org} key={round} />;
    }
    const opened = await connectionsOpened();
    const { rerender } = render(<Many round={0} key={0} />, { wrapper: StrictMode });
    await subscribed('kpi:org:ORG', 'alerts:org:ORG', 'shifts:org:ORG');
    for (let round = 1; round < 4; round += 1) rerender(<Many round={round} key={round} />);
    await subscribed('kpi:org:ORG', 'alerts:org:ORG', 'shifts:org:ORG');
    expect(await server.connections(org)).toHaveLength(1);
    expect((await connectionsOpened()) - opened).toBe(1);
    expect(getWebSocketClient().isConnected).toBe(true);
  });

  it('never gives an event twice in StrictMode', async () => {
    const got: unknown[] = [];
    function Listener(): ReactNode {
      const { subscribe } = useWebSocket(options);
      useEffect(() => subscribe('shift.started', (event) => got.push(event.data)), [subscribe]);
      useWebSocketEvent('shift.started', (shift) => got.push(shift), { companyId: org });
      return null;
    }
    render(<Listener />, { wrapper: StrictMode });
    await subscribed('shifts:org:ORG');
    await server.event('shift.started', org, { id: 's' });
    await until(() => got.length >= 2, 'both handlers');
    await server.event('shift.started', org, { id: 'last' });
    await until(() => got.length >= 4, 'both handlers again');
    expect(got).toEqual([{ id: 's' }, { id: 's' }, { id: 'last' }, { id: 'last' }]);
  });

  it('leaves when the last one is gone', async () => {
    const { unmount } = renderHook(() => useWebSocket(options));
    await until(async () => (await server.connections(org)).length, 'the connection');
    unmount();
    await until(async () => (await server.connections(org)).length === 0, 'the connection to end');
  });

  it('leaves also when the last one lets go of a channel on its way out', async () => {
    const { unmount } = renderHook(() => {
      const { isLive, subscribeToChannel, unsubscribeFromChannel } = useWebSocket(options);
      useEffect(() => {
        subscribeToChannel('kpi');
        return () => unsubscribeFromChannel('kpi');
      }, [subscribeToChannel, unsubscribeFromChannel]);
      return isLive;
    });
    await subscribed('kpi:org:ORG');
    unmount();
    await until(async () => (await server.connections(org)).length === 0, 'the connection to end', 5000);
  });

  it('becomes another person when the options say so, with everything that listens', async () => {
    const got: unknown[] = [];
    const other = newOrganization();
    const { rerender, result } = renderHook(
      ({ organizationId }) => {
        useWebSocketEvent('kpi:update', (kpi) => got.push(kpi), { organization_id: organizationId });
        return useWebSocket({ ...options, organizationId });
      },
      { initialProps: { organizationId: org } },
    );
    await subscribed('kpi:org:ORG');
    rerender({ organizationId: other });
    await until(async () => (await server.connections(other))[0]?.subscriptions[0] === `kpi:org:${other}`, 'the other');
    expect(await server.connections(org)).toEqual([]);
    await server.broadcast('/kpi', { organization_id: other, health_score: 1 });
    await until(() => got.length, 'the event');
    expect(result.current.error).toBeNull();
  });

  it('does not reconnect for callbacks or tokens that are new with every render', async () => {
    const opened = await connectionsOpened();
    let connects = 0;
    const { rerender, result } = renderHook(() =>
      useWebSocket({
        ...options,
        reconnectInterval: 10 + connects,
        onConnect: () => {
          connects += 1;
        },
      }),
    );
    await waitFor(() => expect(result.current.isLive).toBe(true));
    for (let n = 0; n < 20; n += 1) rerender();
    const { reconnect, subscribe } = result.current;
    rerender();
    expect(result.current.reconnect).toBe(reconnect);
    expect(result.current.subscribe).toBe(subscribe);
    expect((await connectionsOpened()) - opened).toBe(1);
    expect(connects).toBe(1);
  });

  it('connects when told to, if it may not by itself', async () => {
    const { result } = renderHook(() => useWebSocket({ ...options, autoConnect: false }));
    await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
    expect(result.current.status).toBe('DISCONNECTED');
    act(() => result.current.connect());
    await waitFor(() => expect(result.current.isLive).toBe(true));
    act(() => result.current.disconnect());
    expect(result.current.status).toBe('DISCONNECTED');
  });

  it('authenticates later, if it may not at once', async () => {
    const { result } = renderHook(() => useWebSocket({ ...options, autoAuthenticate: false }));
    await waitFor(() => expect(result.current.isConnected).toBe(true));
    expect(result.current.isAuthenticated).toBe(false);
    await act(() => result.current.authenticate());
    expect(result.current.isAuthenticated).toBe(true);
    expect((await server.connections(org))[0]?.user_id).toBe('u');
  });

  it('tries again after a refusal with every other token', async () => {
    const secret = 'a secret of at least thirty-two bytes';
    const own = await TestServer.start('--auth.jwt-secret', secret);
    const token = await output('gen-token', '--user', 'u', '--organization', org, '--auth.jwt-secret', secret);
    const { result, rerender, unmount } = renderHook(
      (more: UseWebSocketOptions) => useWebSocket({ url: own.url, userId: 'u', organizationId: org, ...more }),
      { initialProps: {} },
    );
    const refused = (why: string) =>
      waitFor(() =>
        expect(result.current).toMatchObject({
          connectionStatus: 'error',
          error: { message: expect.stringContaining(why) },
        }),
      );
    await refused('a token is needed');
    rerender({ token: 'nonsense' });
    await refused('this is no token');
    rerender({ token: token.trim() });
    await waitFor(() => expect(result.current.isLive).toBe(true));
    unmount();
    await own.stop();
  });

  it('is again after a reconnect who a message said', async () => {
    const secret = 'a secret of at least thirty-two bytes';
    const own = await TestServer.start('--auth.jwt-secret', secret);
    const token = await output('gen-token', '--user', 'u', '--organization', org, '--auth.jwt-secret', secret);
    const { result, unmount } = renderHook(() => useWebSocket({ url: own.url, reconnectBaseDelay: 50 }));
    await waitFor(() => expect(result.current.isAnonymous).toBe(true));
    act(() => {
      result.current.sendMessage({ type: 'authenticate', payload: { token: token.trim() } });
    });
    await waitFor(() => expect(result.current.isLive).toBe(true));
    act(() => result.current.reconnect());
    expect(result.current.isLive).toBe(false);
    await waitFor(() => expect(result.current).toMatchObject({ isLive: true, organizationId: org }));
    unmount();
    await own.stop();
  });

  it('tells of the end and of being back', async () => {
    const own = await TestServer.start();
    const told: string[] = [];
    const { result, unmount } = renderHook(() =>
      useWebSocket({
        ...options,
        url: own.url,
        onConnect: () => told.push('connect'),
        onDisconnect: () => told.push('disconnect'),
        onReconnect: () => told.push('reconnect'),
        onError: (error) => told.push(error.code),
      }),
    );
    await waitFor(() => expect(result.current.isLive).toBe(true));
    await act(() => own.stop());
    await waitFor(() =>
      expect(result.current).toMatchObject({ status: 'CONNECTING', connectionStatus: 'reconnecting' }),
    );
    await act(() => own.start());
    await waitFor(() => expect(told.at(-1)).toBe('reconnect'));
    expect(told.slice(0, 3)).toEqual(['connect', 'disconnect', 'CONNECTION_FAILED']);
    expect(told.slice(-2)).toEqual(['connect', 'reconnect']);
    unmount();
    await own.stop();
  });

  it('renders a component for messages only if it reads them', async () => {
    let renders = 0;
    const silent = renderHook(() => {
      renders += 1;
      return useWebSocket(options).isLive;
    });
    await waitFor(() => expect(silent.result.current).toBe(true));
    const reading = renderHook(() => useWebSocket(options).lastMessage);
    await subscribed('all:org:ORG');
    // What else changes once the connection is there.
    await waitFor(() =>
      expect(getWebSocketClient().state).toMatchObject({ transport: 'websocket', latency: expect.any(Number) }),
    );
    const before = renders;
    await server.event('PROFILE_UPDATED', org, { name: 'A' });
    await waitFor(() => expect(reading.result.current).toMatchObject({ type: 'PROFILE_UPDATED', data: { name: 'A' } }));
    expect(renders).toBe(before);
  });

  it('counts subscriptions to a channel', async () => {
    const { result } = renderHook(() => useWebSocket(options));
    act(() => {
      result.current.subscribeToChannel(OWN_CHANNEL);
      result.current.subscribeToChannel(OWN_CHANNEL);
    });
    await subscribed('high-priority-violations:org:ORG');
    act(() => result.current.unsubscribeFromChannel(OWN_CHANNEL));
    act(() => result.current.unsubscribeFromChannel(OWN_CHANNEL));
    await subscribed();
  });

  it('reports a message that the server refuses', async () => {
    const { result } = renderHook(() => useWebSocket(options));
    await waitFor(() => expect(result.current.isLive).toBe(true));
    act(() => {
      expect(result.current.sendMessage({ type: 'custom_action', data: { action: 'test' } })).toBe(true);
    });
    await waitFor(() => expect(result.current.error?.code).toBe('INVALID_MESSAGE'));
  });
});

describe('updates', () => {
  it('a thousand events in a frame cost a few renders, and the last value is right', async () => {
    let renders = 0;
    let handled = 0;
    options = { ...options, protocol: 'websocket', WebSocket: StubSocket as unknown as typeof WebSocket };
    const { result } = renderHook(
      () => {
        renders += 1;
        const count = () => {
          handled += 1;
        };
        return useKPIUpdates(count, { organization_id: org });
      },
      { wrapper: inProvider },
    );
    await waitFor(() => expect(StubSocket.last?.heard).toContain('subscribe'));
    const before = renders;
    for (let n = 1; n <= 1000; n += 1) StubSocket.last?.say({ event: 'kpi:update', data: { health_score: n } });
    expect(handled).toBe(1000);
    await waitFor(() =>
      expect(result.current).toMatchObject({ latestUpdate: { health_score: 1000 }, updateCount: 1000 }),
    );
    expect(renders - before).toBeLessThanOrEqual(3);
  });

  it('are filtered by place, and begin anew at another', async () => {
    const { result, rerender } = renderHook(
      ({ queue_name }) => [
        useKPIUpdates(undefined, { organization_id: org, queue_name }).latestUpdate?.health_score,
        useKPIUpdates(undefined, { organization_id: org, queue_name: 'sales' }).latestUpdate?.health_score,
      ],
      { wrapper: inProvider, initialProps: { queue_name: 'support' } },
    );
    await subscribed('kpi:org:ORG:queue:support', 'kpi:org:ORG:queue:sales');
    await server.broadcast('/kpi', { organization_id: org, queue_name: 'support', health_score: 1 });
    await server.broadcast('/kpi', { organization_id: org, queue_name: 'sales', health_score: 2 });
    await waitFor(() => expect(result.current).toEqual([1, 2]));
    rerender({ queue_name: 'billing' });
    expect(result.current).toEqual([undefined, 2]);
    await subscribed('kpi:org:ORG:queue:billing', 'kpi:org:ORG:queue:sales');
  });

  it('come for backlog and attendance too', async () => {
    const { result } = renderHook(
      () => [
        useBacklogUpdates(undefined, { organization_id: org }).latestUpdate?.total_items,
        useAttendanceUpdates(undefined, { organization_id: org }).latestUpdate?.present,
      ],
      { wrapper: inProvider },
    );
    await subscribed('backlog:org:ORG', 'attendance:org:ORG');
    await server.broadcast('/backlog', { organization_id: org, total_items: 12 });
    await server.broadcast('/attendance', { organization_id: org, present: 7 });
    await waitFor(() => expect(result.current).toEqual([12, 7]));
  });

  it('count alerts until they are cleared', async () => {
    const { result } = renderHook(() => useAlertNotifications(undefined, { organization_id: org }), {
      wrapper: inProvider,
    });
    await subscribed('alerts:org:ORG');
    for (const rule_name of ['a', 'b']) {
      await server.broadcast('/alert', { organization_id: org, rule_name, severity: 'high' });
    }
    await waitFor(() => expect(result.current.alertCount).toBe(2));
    expect(result.current.latestAlert?.rule_name).toBe('b');
    act(() => result.current.clearAlertCount());
    expect(result.current.alertCount).toBe(0);
  });

  it('stop while they are not enabled', async () => {
    const { rerender } = renderHook(({ enabled }) => useKPIUpdates(undefined, { organization_id: org, enabled }), {
      wrapper: inProvider,
      initialProps: { enabled: true },
    });
    await subscribed('kpi:org:ORG');
    rerender({ enabled: false });
    await subscribed();
  });
});

describe('useWebSocketSubscription', () => {
  it('says which rooms it holds, and lets go', async () => {
    const { result, unmount } = renderHook(
      () => useWebSocketSubscription(['kpi', 'alerts'], { organization_id: org, queue_name: 'q' }),
      { wrapper: ({ children }) => <StrictMode>{inProvider({ children })}</StrictMode> },
    );
    await waitFor(() => expect(result.current.isSubscribed).toBe(true));
    expect(result.current.subscriptions).toEqual([`kpi:org:${org}:queue:q`, `alerts:org:${org}:queue:q`]);
    await subscribed('kpi:org:ORG:queue:q', 'alerts:org:ORG:queue:q');
    unmount();
    await until(async () => (await rooms()).length === 0, 'the rooms to be left');
  });

  it('says why it is refused', async () => {
    const { result } = renderHook(() => useWebSocketSubscription('no-such-channel' as Channel), {
      wrapper: inProvider,
    });
    await waitFor(() => expect(result.current.error?.code).toBe('SUBSCRIPTION_FAILED'));
    expect(result.current.isSubscribed).toBe(false);
  });
});

describe('components', () => {
  it('useWebSocketHealth knows transport and latency', async () => {
    const { result } = renderHook(() => useWebSocketHealth(), { wrapper: inProvider });
    await waitFor(() => expect(result.current).toMatchObject({ isLive: true, latency: expect.any(Number) }));
    expect(result.current).toMatchObject({ isHealthy: true, isConnected: true, status: 'connected', error: null });
    await waitFor(() => expect(result.current.transport).toBe('websocket'));
  });

  it('WebSocketStatus offers to reconnect what was ended', async () => {
    function Switch(): ReactNode {
      const { disconnect } = useWebSocketContext();
      const [isOver, end] = useState(false);
      useEffect(() => {
        if (isOver) disconnect();
      }, [isOver, disconnect]);
      return (
        <button type="button" onClick={() => end(true)}>
          End
        </button>
      );
    }
    render(
      <>
        <WebSocketStatus showDetails />
        <Switch />
      </>,
      { wrapper: inProvider },
    );
    await screen.findByText('Live');
    await screen.findByText(/· (websocket|polling) · \d+ ms/);
    act(() => screen.getByText('End').click());
    await screen.findByText('Offline');
    act(() => screen.getByText('Reconnect').click());
    await screen.findByText('Live');
  });
});

async function connectionsOpened(): Promise<number> {
  return ((await server.get('/api/ws/stats')) as { stats: { connections_opened: number } }).stats.connections_opened;
}

/** A WebSocket whose server agrees to everything and sends what the test says, at once. */
class StubSocket {
  static last: StubSocket | undefined;
  readyState = 1;
  heard: string[] = [];
  onopen = () => {};
  onmessage = (_message: { data: string }) => {};

  constructor() {
    StubSocket.last = this;
    queueMicrotask(() => this.onopen());
  }

  send(text: string): void {
    const { event, id } = JSON.parse(text);
    this.heard.push(event);
    queueMicrotask(() => this.say({ id, event, data: { success: true, subscriptions: [] } }));
  }

  say(frame: object): void {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  close(): void {
    this.readyState = 3;
  }
}
