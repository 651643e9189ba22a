import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { act, fireEvent, render, renderHook, screen, waitFor } from '@testing-library/react';
import type { ReactNode } from 'react';
import { hydrateRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { newOrganization, TestServer, until } from '../../../testkit/server.js';
import {
  type UseWebSocketOptions,
  useAlertNotifications,
  useKPIUpdates,
  useWebSocket,
  useWebSocketEvent,
  useWebSocketHealth,
  useWebSocketSubscription,
  WebSocketProvider,
  WebSocketStatus,
} from '../../src/react/index.js';

let server: TestServer;
let org: string;
let options: UseWebSocketOptions;

beforeAll(async () => {
  server = await TestServer.start('--auth-timeout-ms', '60000');
});
afterAll(() => server.stop());
beforeEach(() => {
  org = newOrganization();
  options = { url: server.url, userId: 'u', organizationId: org, reconnectBaseDelay: 50, warn: false };
});
afterEach(() => vi.restoreAllMocks());

/** The colour of the dot. */
function colour(container: HTMLElement): string | undefined {
  return container.querySelector<HTMLElement>('[aria-hidden]')?.style.background;
}

const GREEN = 'rgb(47, 165, 108)';

describe('WebSocketStatus', () => {
  it('is not live, nor green, on a connection that nobody is authenticated on', async () => {
    const seen: string[] = [];
    function Seen(): ReactNode {
      const { isConnected, isAnonymous, isAuthenticated, authenticate } = useWebSocket({ url: server.url });
      seen.push(`${isConnected} ${isAnonymous} ${isAuthenticated}`);
      return (
        <button type="button" onClick={() => void authenticate('u', org)}>
          Sign in
        </button>
      );
    }
    const { container } = render(
      <WebSocketProvider options={{ url: server.url, warn: false }}>
        <WebSocketStatus showDetails />
        <Seen />
      </WebSocketProvider>,
    );
    await screen.findByText('Not signed in');
    expect(seen.at(-1)).toBe('true true false');
    expect(container.querySelector('[data-status]')?.getAttribute('data-status')).toBe('unauthenticated');
    expect(colour(container)).not.toBe(GREEN);
    expect(container.querySelector('[data-details]')).toBeNull();

    fireEvent.click(screen.getByText('Sign in'));
    await screen.findByText('Live');
    expect(seen.at(-1)).toBe('true false true');
    expect(container.querySelector('[data-status]')?.getAttribute('data-status')).toBe('connected');
    expect(colour(container)).toBe(GREEN);
  });

  it('is live only when the subscriptions are in place too', async () => {
    let subscribed = () => {};
    /** Its server agrees to everything at once, to subscriptions when the test does. */
    class Socket {
      readyState = 1;
      onopen = () => {};
      onmessage = (_message: { data: string }) => {};
      constructor() {
        queueMicrotask(() => this.onopen());
      }
      send(text: string): void {
        const { event, id } = JSON.parse(text);
        const data = { success: true, connection_id: 'c', user_id: 'u', organization_id: org, subscriptions: ['r'] };
        const answer = () => this.onmessage({ data: JSON.stringify({ id, event, data }) });
        if (event === 'subscribe') subscribed = answer;
        else queueMicrotask(answer);
      }
      close(): void {}
    }
    function Widget(): ReactNode {
      useKPIUpdates(undefined, { organization_id: org });
      const { isAuthenticated, isLive } = useWebSocket();
      return <p>{`${isAuthenticated} ${isLive} ${useWebSocketHealth().isHealthy}`}</p>;
    }
    const { container } = render(
      <WebSocketProvider
        options={{ ...options, protocol: 'websocket', WebSocket: Socket as unknown as typeof WebSocket }}
      >
        <WebSocketStatus />
        <Widget />
      </WebSocketProvider>,
    );
    await screen.findByText('true false false');
    screen.getByText('Connecting');
    expect(colour(container)).not.toBe(GREEN);
    act(() => subscribed());
    await screen.findByText('Live');
    screen.getByText('true true true');
  });

  it('gives what is no option to its element', async () => {
    render(<WebSocketStatus {...options} id="status" className="small" data-testid="it" aria-label="Connection" />);
    await screen.findByText('Live');
    const { id, className, title } = screen.getByTestId('it');
    expect({ id, className, title }).toEqual({ id: 'status', className: 'small', title: '' });
    expect(screen.getByLabelText('Connection').getAttribute('data-status')).toBe('connected');
  });
});

describe('rendered on a server', () => {
  const page = (more: UseWebSocketOptions = {}) => (
    <WebSocketProvider options={{ ...options, ...more }}>
      <WebSocketStatus showDetails />
      <States />
    </WebSocketProvider>
  );
  function States(): ReactNode {
    const { status, connectionStatus, isConnected } = useWebSocket();
    return <p>{`${status} ${connectionStatus} ${isConnected}`}</p>;
  }

  it('it is about to connect, and offers nothing to press', () => {
    const html = renderToString(page());
    expect(html).toContain('data-status="connecting"');
    expect(html).toContain('CONNECTING connecting false');
    expect(html).not.toMatch(/Offline|Reconnect|button/);
  });

  it('it is offline if it may not connect by itself', () => {
    expect(renderToString(page({ autoConnect: false }))).toContain('DISCONNECTED disconnected false');
  });

  it('the browser goes on from there, without a word of complaint or of being offline', async () => {
    const container = document.createElement('div');
    container.innerHTML = renderToString(page());
    const complaint = vi.spyOn(console, 'error').mockImplementation(() => {});
    document.body.append(container);
    const seen = new Set([container.querySelector('[role=status]')?.textContent]);
    const observer = new MutationObserver(() => seen.add(container.querySelector('[role=status]')?.textContent));
    observer.observe(container, { subtree: true, childList: true, characterData: true });
    const root = await act(async () => hydrateRoot(container, page()));
    await screen.findByText('Live');
    expect([...seen]).toEqual(['Connecting', 'Live']);
    expect(complaint).not.toHaveBeenCalled();
    await act(async () => root.unmount());
    container.remove();
  });
});

describe('a component that mounts', () => {
  it('is never offline before it is connected', async () => {
    const seen: string[] = [];
    renderHook(() => {
      seen.push(useWebSocket(options).connectionStatus);
    });
    await waitFor(() => expect(seen.at(-1)).toBe('connected'));
    expect(new Set(seen)).toEqual(new Set(['connecting', 'connected']));
  });
});

describe('a slip in plain JavaScript', () => {
  // biome-ignore lint/suspicious/noExplicitAny: that is what is tested
  const slip: any = () => ({ ...options, queueNmae: 'support' });
  const hooks: Record<string, () => unknown> = {
    useKPIUpdates: () => useKPIUpdates(undefined, slip()),
    useAlertNotifications: () => useAlertNotifications(undefined, slip()),
    useWebSocketEvent: () => useWebSocketEvent('kpi:update', () => {}, slip()),
    useWebSocketSubscription: () => useWebSocketSubscription('kpi', slip()),
    useWebSocketHealth: () => useWebSocketHealth(slip()),
    useWebSocket: () => useWebSocket(slip()),
  };

  it.each(Object.entries(hooks))('in the options of %s is said, and nothing is heard', async (_, hook) => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(() => renderHook(hook)).toThrow(/unknown `queueNmae`; allowed are .*queue_name/);
    expect(await server.connections(org)).toEqual([]);
  });

  it('in the options of a provider is said', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(() => render(<WebSocketProvider options={slip()} />)).toThrow(/unknown `queueNmae`/);
  });

  it('that gives a filter where the handler belongs is said', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    // biome-ignore lint/suspicious/noExplicitAny: that is what is tested
    const filter: any = { organization_id: 'o', queue_name: 'support' };
    const hooks = [() => useKPIUpdates(filter), () => useAlertNotifications(filter)] as (() => unknown)[];
    for (const hook of hooks) {
      expect(() => renderHook(hook)).toThrow(/the handler must be a function, not object/);
    }
  });
});

describe('warnings', () => {
  it('go to the function of the last render, as do questions for a token', async () => {
    const told: string[] = [];
    const asked: number[] = [];
    function App({ round }: { round: number }): ReactNode {
      const now: UseWebSocketOptions = {
        url: server.url,
        getToken: () => {
          asked.push(round);
          return 'nonsense';
        },
        warn: ({ code }) => told.push(`${round} ${code}`),
        reconnectBaseDelay: 100,
      };
      return (
        <WebSocketProvider options={now}>
          <WebSocketStatus />
        </WebSocketProvider>
      );
    }
    const { rerender } = render(<App round={1} />);
    rerender(<App round={2} />);
    await screen.findByText('Connection failed');
    expect(told).toEqual(['2 AUTH_FAILED']);
    expect(new Set(asked)).toEqual(new Set([2]));
  });
});

it('a widget that compiles shows what the README’s curl posts', async () => {
  const readme = readFileSync(join(import.meta.dirname, '../../../../README.md'), 'utf8');
  const [, route, body] = readme.match(/localhost:5000\/api\/ws\/broadcast(\/kpi) [\s\S]*?-d '({[^']*})'/) ?? [];
  function Widget(): ReactNode {
    const { latestUpdate } = useKPIUpdates(undefined, { organization_id: 'org_123', queue_name: 'support' });
    if (!latestUpdate) return <p>Waiting</p>;
    // The optional chain is what the compiler asks for.
    const { utilization, health_score } = latestUpdate;
    return <p>{`Utilization: ${utilization?.current_utilization ?? '–'}, health: ${health_score ?? '–'}`}</p>;
  }
  render(
    <WebSocketProvider options={{ ...options, organizationId: 'org_123' }}>
      <Widget />
    </WebSocketProvider>,
  );
  await until(async () => (await server.connections('org_123'))[0]?.subscriptions.length, 'the subscription');
  await server.broadcast(route ?? '', JSON.parse(body ?? ''));
  await screen.findByText('Utilization: –, health: 85');
});
