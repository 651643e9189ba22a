import type { CSSProperties, ReactNode } from 'react';

import { type UseWebSocketOptions, useWebSocket } from './use-websocket.js';

export interface WebSocketStatusProps extends UseWebSocketOptions {
  /** Also show transport and latency, and a button to reconnect. */
  showDetails?: boolean | undefined;
  className?: string | undefined;
  style?: CSSProperties | undefined;
}

const TEXT = {
  disconnected: 'Offline',
  connecting: 'Connecting',
  connected: 'Live',
  reconnecting: 'Reconnecting',
  error: 'Connection failed',
};

const COLOUR = {
  disconnected: '#8a94a6',
  connecting: '#d99a1c',
  connected: '#2fa56c',
  reconnecting: '#d99a1c',
  error: '#d5483f',
};

const DOT: CSSProperties = {
  display: 'inline-block',
  width: '0.6em',
  height: '0.6em',
  marginInlineEnd: '0.5em',
  borderRadius: '50%',
};

/** The state of the connection in a word. Style it by `className` and `[data-status]`. */
export function WebSocketStatus({ showDetails, className, style, ...options }: WebSocketStatusProps): ReactNode {
  const { connectionStatus: status, transport, latency, error, reconnect } = useWebSocket(options);
  const isDown = status === 'error' || status === 'disconnected';
  return (
    <span className={className} style={style} data-status={status} title={error?.message}>
      <span role="status">
        <span aria-hidden="true" style={{ ...DOT, background: COLOUR[status] }} />
        {TEXT[status]}
      </span>
      {showDetails && status === 'connected' && (
        <span data-details>
          {' '}
          · {transport}
          {latency !== null && ` · ${Math.round(latency)} ms`}
        </span>
      )}
      {showDetails && isDown && (
        <>
          {' '}
          <button type="button" onClick={reconnect}>
            Reconnect
          </button>
        </>
      )}
    </span>
  );
}

export { WebSocketStatus as WebSocketStatusIndicator };
