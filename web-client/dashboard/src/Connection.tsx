import type { OrgcastError } from '@orgcast/client';
import { useWebSocketContext } from '@orgcast/client/react';
import { type FormEvent, type ReactNode, useState } from 'react';

/** Live is said when the subscriptions are in place too, not as soon as there is a socket. */
export function Connection(): ReactNode {
  const { connectionStatus, isLive, transport, latency, error, reconnect, reconnectAttempts } = useWebSocketContext();
  const status = connectionStatus === 'connected' && !isLive ? 'connecting' : connectionStatus;
  const text = {
    connected: 'Live',
    connecting: 'Connecting',
    reconnecting: 'Reconnecting',
    disconnected: 'Offline',
    error: 'Connection failed',
  }[status];
  const isDown = status === 'error' || status === 'disconnected';
  return (
    <div className="connection" data-testid="connection" data-status={isLive ? 'live' : status} title={error?.message}>
      <span role="status">
        <span className="dot" aria-hidden="true" />
        {text}
      </span>
      {isLive && (
        <span className="how">
          <span data-testid="transport">{transport}</span>
          {latency !== null && <span data-testid="latency">{Math.max(1, Math.round(latency))} ms</span>}
        </span>
      )}
      {status === 'reconnecting' && reconnectAttempts > 1 && <span className="how">attempt {reconnectAttempts}</span>}
      {isDown && (
        <button type="button" onClick={reconnect}>
          Reconnect
        </button>
      )}
    </div>
  );
}

/** For servers that do not believe everybody. */
export function SignIn({ error, signIn }: { error: OrgcastError | null; signIn: (token: string) => void }): ReactNode {
  const [token, setToken] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim()) signIn(token.trim());
  };
  return (
    <form className="card notice" onSubmit={submit}>
      <h2>The server wants to know who you are</h2>
      <p>{error?.message}</p>
      <div className="row">
        <label>
          Token
          <input
            value={token}
            onChange={(event) => setToken(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="submit" className="primary">
          Sign in
        </button>
      </div>
    </form>
  );
}
