import { type Options, OrgcastError } from '@orgcast/client';
import { useWebSocketContext, WebSocketProvider } from '@orgcast/client/react';
import { type ReactNode, useCallback, useEffect, useMemo, useState } from 'react';

import { Alerts, Toasts, useToasts } from './Alerts.js';
import { Attendance } from './Attendance.js';
import { Breakdown } from './Breakdown.js';
import type { Summary } from './board.js';
import { Chart } from './Chart.js';
import { Connection, SecretForm } from './Connection.js';
import { type DemoError, startDemo } from './demo.js';
import { Empty } from './Empty.js';
import { label, type Place } from './places.js';
import { Sidebar } from './Sidebar.js';
import { path, server, usePlace, userId } from './settings.js';
import { Tiles } from './Tiles.js';
import { useAccess } from './use-access.js';
import { useBoard } from './use-board.js';
import { Words } from './Words.js';

export function App(): ReactNode {
  const [place, go] = usePlace();
  const [token, setToken] = useState<string>();
  const { organization_id } = place;
  const options = useMemo<Options>(
    () => ({
      url: server,
      path,
      ...(token === undefined ? { userId, organizationId: organization_id } : { token }),
      heartbeatInterval: 5000,
      reconnectMaxDelay: 5000,
      // The page says itself what is wrong.
      warn: false,
    }),
    [organization_id, token],
  );
  return (
    <WebSocketProvider options={options}>
      <Page place={place} go={go} hasToken={token !== undefined} signIn={setToken} />
    </WebSocketProvider>
  );
}

interface PageProps {
  place: Place;
  go: (place: Place) => void;
  hasToken: boolean;
  signIn: (token: string) => void;
}

function Page({ place, go, hasToken, signIn }: PageProps): ReactNode {
  const connection = useWebSocketContext();
  const toasts = useToasts();
  const { board, summary, history } = useBoard(place, toasts.add);
  const [isDemo, setDemo] = useState(false);
  const [apiKey, setApiKey] = useState<string>();
  /** Why the server does not let the demo publish without another key. */
  const [keyProblem, setKeyProblem] = useState<string>();
  const [isOpen, setOpen] = useState(false);
  const { organization_id } = place;
  const { add } = toasts;
  useEffect(() => {
    if (!isDemo) return;
    setKeyProblem(undefined);
    const failed = ({ message, isAboutKey }: DemoError) => {
      setDemo(false);
      if (isAboutKey) setKeyProblem(message);
      else add({ id: `demo-${Date.now()}`, severity: 'high', title: 'The demo feed stopped', text: message });
    };
    return startDemo({ server, organization_id, apiKey, failed });
  }, [isDemo, organization_id, apiKey, add]);
  const enterKey = useCallback((key: string) => {
    setApiKey(key);
    setDemo(true);
  }, []);
  const choose = useCallback(
    (to: Place) => {
      go(to);
      setOpen(false);
    },
    [go],
  );
  const refusal = useAccess(place);
  const isElsewhere = connection.organizationId !== null && connection.organizationId !== organization_id;
  const isUnknown = connection.connectionStatus === 'error' && isAboutIdentity(connection.error);
  // Who wants tokens of clients wants keys at the API.
  const wantsKey = hasToken || isUnknown || refusal !== undefined || keyProblem !== undefined || apiKey !== undefined;
  return (
    <>
      <a className="skip" href="#board">
        Skip to the board
      </a>
      <header className="top">
        <div className="brand">
          <Logo />
          <span>
            orgcast <em>live</em>
          </span>
        </div>
        <button
          type="button"
          className="menu"
          aria-expanded={isOpen}
          aria-controls="places"
          onClick={() => setOpen(!isOpen)}
        >
          Places
        </button>
        <Toasts toast={toasts.shown} dismiss={toasts.dismiss} />
        <div className="tools">
          <label className="switch">
            {/* biome-ignore lint/a11y/useAriaPropsForRole: a checkbox says by itself whether it is checked */}
            <input type="checkbox" role="switch" checked={isDemo} onChange={(e) => setDemo(e.target.checked)} />
            Demo feed
          </label>
          <Connection refusal={refusal} />
        </div>
      </header>
      <div className="columns">
        <Sidebar
          isOpen={isOpen}
          place={place}
          go={choose}
          board={board}
          isDemo={isDemo}
          apiKey={apiKey}
          isApiOpen={!wantsKey}
        />
        <main id="board" tabIndex={-1}>
          <div className="heading">
            <h1>{label(place)}</h1>
            <p>{board.updates === 0 ? 'Waiting for the first update' : originOf(summary)}</p>
          </div>
          {isUnknown && (
            <SecretForm
              title="The server wants to know who you are"
              reason={connection.error?.message}
              name="Token"
              hint={tokenHint(organization_id)}
              action="Sign in"
              submit={signIn}
            />
          )}
          {refusal?.isWhole && (
            <SecretForm
              title={`${hasToken ? 'Your token' : 'What you may see'} does not reach ${label(place)}`}
              reason={isElsewhere ? undefined : refusal.message}
              name="Another token"
              hint={tokenHint(organization_id)}
              action="Sign in"
              submit={signIn}
            >
              {isElsewhere && (
                <p role="alert">
                  You are signed in for the organization <b>{connection.organizationId}</b>, and this page shows{' '}
                  <b>{organization_id}</b>.{' '}
                  <button
                    type="button"
                    className="link"
                    onClick={() => choose({ organization_id: connection.organizationId ?? organization_id })}
                  >
                    Show {connection.organizationId}
                  </button>
                </p>
              )}
            </SecretForm>
          )}
          {refusal && !refusal.isWhole && (
            <section className="card notice" aria-label="Not everything may be shown">
              <p role="alert">
                Not shown here: {refusal.channels.join(', ')}. <Words text={`The server says: ${refusal.message}.`} />
              </p>
            </section>
          )}
          {keyProblem !== undefined && (
            <SecretForm
              title="The demo feed needs an API key"
              reason={keyProblem}
              name="API key"
              hint={`\`orgcast gen-key --organization ${organization_id}\` makes one, and the lines for the server’s configuration. It stays in the memory of this page.`}
              action="Start the demo feed"
              submit={enterKey}
            />
          )}
          {board.updates === 0 && !isUnknown && !refusal?.isWhole && keyProblem === undefined && (
            <Empty place={place} isDemo={isDemo} wantsKey={wantsKey} startDemo={() => setDemo(true)} />
          )}
          <Tiles summary={summary} />
          <div className="charts">
            <Chart
              title="Utilization"
              unit="%"
              now={summary.utilization}
              digits={1}
              points={history}
              series="utilization"
              reference="target"
            />
            <Chart title="Backlog" unit="items" now={summary.backlog} digits={0} points={history} series="backlog" />
          </div>
          <div className="pair">
            <Attendance attendance={summary.attendance} />
            <Alerts alerts={board.alerts} place={place} />
          </div>
          <Breakdown board={board} place={place} go={choose} />
        </main>
      </div>
    </>
  );
}

function tokenHint(organization: string): string {
  return `On the server, \`orgcast gen-token --user me --organization ${organization}\` prints one that holds for an hour. It stays in the memory of this page.`;
}

function originOf({ isOwn, beneath }: Summary): string {
  if (beneath === 0) return 'As published';
  const places = beneath === 1 ? 'one place beneath' : `${beneath} places beneath`;
  if (isOwn) return `As published, and what that leaves open from ${places}`;
  return beneath === 1 ? `From ${places}` : `Combined from ${places}`;
}

function isAboutIdentity(error: OrgcastError | null): boolean {
  return error instanceof OrgcastError && (error.code === 'AUTH_FAILED' || error.code === 'UNAUTHORIZED');
}

function Logo(): ReactNode {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="9" fill="var(--accent)" />
      <circle cx="16" cy="16" r="4" fill="#fff" />
      <path
        d="M8.5 23.5a10.6 10.6 0 0 1 0-15M23.5 8.5a10.6 10.6 0 0 1 0 15"
        stroke="#fff"
        strokeWidth="2.6"
        fill="none"
        strokeLinecap="round"
      />
    </svg>
  );
}
