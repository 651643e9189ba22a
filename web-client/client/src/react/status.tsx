import type { CSSProperties, HTMLAttributes, ReactNode } from 'react';

import { isHookOption } from './binding.js';
import { type UseWebSocketOptions, type UseWebSocketResult, useWebSocket } from './use-websocket.js';

/** The options of the connection; every other property is the element's. */
export interface WebSocketStatusProps
  extends UseWebSocketOptions,
    Omit<HTMLAttributes<HTMLSpanElement>, keyof UseWebSocketOptions | 'children'> {
  /** Also show transport and latency, and a button to reconnect. */
  showDetails?: boolean | undefined;
}

const TEXT = {
  disconnected: 'Offline',
  connecting: 'Connecting',
  unauthenticated: 'Not signed in',
  connected: 'Live',
  reconnecting: 'Reconnecting',
  error: 'Connection failed',
};

const COLOUR: Record<keyof typeof TEXT, string> = {
  disconnected: '#8a94a6',
  connecting: '#d99a1c',
  unauthenticated: '#8a94a6',
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

/** Live is who hears what there is to hear, not who has a socket. */
function statusOf({ connectionStatus, isLive, isAnonymous }: UseWebSocketResult): keyof typeof TEXT {
  if (connectionStatus !== 'connected' || isLive) return connectionStatus;
  return isAnonymous ? 'unauthenticated' : 'connecting';
}

/** The state of the connection in a word. Style it by `className` and `[data-status]`. */
export function WebSocketStatus({ showDetails, ...properties }: WebSocketStatusProps): ReactNode {
  const given = Object.entries(properties);
  const connection = useWebSocket(Object.fromEntries(given.filter(([name]) => isHookOption(name))));
  const attributes = Object.fromEntries(given.filter(([name]) => !isHookOption(name)));
  const { transport, latency, error, reconnect } = connection;
  const status = statusOf(connection);
  const isDown = status === 'error' || status === 'disconnected';
  return (
    <span title={error?.message} {...attributes} data-status={status}>
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
