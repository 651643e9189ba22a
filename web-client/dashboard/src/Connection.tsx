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

interface SecretFormProps {
  title: string;
  reason: string | undefined;
  name: string;
  hint: string;
  action: string;
  submit: (secret: string) => void;
}

/** For servers that do not believe everybody. What is entered stays in the memory of this page. */
export function SecretForm({ title, reason, name, hint, action, submit }: SecretFormProps): ReactNode {
  const [secret, setSecret] = useState('');
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (secret.trim()) submit(secret.trim());
  };
  return (
    <form className="card notice" onSubmit={send} aria-label={title}>
      <h2>{title}</h2>
      {reason && <p role="alert">{reason}</p>}
      <p>{hint}</p>
      <div className="row">
        <label>
          {name}
          <input
            type="password"
            value={secret}
            onChange={(event) => setSecret(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="submit" className="primary">
          {action}
        </button>
      </div>
    </form>
  );
}
