import { useWebSocketContext } from '@orgcast/client/react';
import { type FormEvent, type ReactNode, useState } from 'react';

import type { Refusal } from './use-access.js';
import { Words } from './Words.js';

/** Live is said when the subscriptions are in place too, not as soon as there is a socket. */
export function Connection({ refusal }: { refusal: Refusal | undefined }): ReactNode {
  const { connectionStatus, isLive, transport, latency, error, reconnect, reconnectAttempts } = useWebSocketContext();
  const isRefused = isLive && refusal?.isWhole === true;
  const status = isRefused ? 'refused' : connectionStatus === 'connected' && !isLive ? 'connecting' : connectionStatus;
  const text = {
    connected: 'Live',
    connecting: 'Connecting',
    reconnecting: 'Reconnecting',
    disconnected: 'Offline',
    error: 'Connection failed',
    refused: 'Refused',
  }[status];
  const isDown = status === 'error' || status === 'disconnected';
  return (
    <div
      className="connection"
      data-testid="connection"
      data-status={isLive && !isRefused ? 'live' : status}
      title={refusal?.message ?? error?.message}
    >
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
  /** Another way out. */
  children?: ReactNode;
  action: string;
  submit: (secret: string) => void;
}

/** For servers that do not believe everybody. What is entered stays in the memory of this page. */
export function SecretForm({ title, reason, name, hint, action, submit, children }: SecretFormProps): ReactNode {
  const [secret, setSecret] = useState('');
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (secret.trim()) submit(secret.trim());
  };
  return (
    <form className="card notice" onSubmit={send} aria-label={title}>
      <h2>{title}</h2>
      {reason && (
        <p role="alert">
          <Words text={sentence(reason)} />
        </p>
      )}
      {children}
      <p>
        <Words text={hint} />
      </p>
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

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
