import { type ReactNode, useContext, useMemo } from 'react';

import { said } from '../names.js';
import { ProviderOptions, tell, useLatest } from './binding.js';
import { type UseWebSocketOptions, type UseWebSocketResult, useWebSocket } from './use-websocket.js';

export interface WebSocketProviderProps {
  options?: UseWebSocketOptions | undefined;
  children?: ReactNode;
}

/** The connection that every hook beneath means unless it says otherwise. */
export function WebSocketProvider({ options, children }: WebSocketProviderProps): ReactNode {
  const latest = useLatest(options);
  const hasToken = options?.getToken !== undefined;
  const hasWarn = typeof options?.warn === 'function';
  // Usually written in place, and so a new object with every render.
  const key = JSON.stringify([options, hasToken, hasWarn]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is what the options say
  const stable = useMemo(() => {
    const {
      onConnect: _,
      onDisconnect: __,
      onReconnect: ___,
      onError: ____,
      onMessage: _____,
      ...rest
    } = options ?? {};
    const now: UseWebSocketOptions = {
      getToken: hasToken ? () => latest.current?.getToken?.() ?? '' : undefined,
      warn: hasWarn ? (warning) => tell(latest.current?.warn, warning) : undefined,
    };
    return { ...rest, ...said(now) };
  }, [key]);
  return (
    <ProviderOptions.Provider value={stable}>
      <Holder options={options} />
      {children}
    </ProviderOptions.Provider>
  );
}

/** Holds the connection and hears for the provider, so that its changes render nothing else. */
function Holder({ options }: { options: UseWebSocketOptions | undefined }): null {
  useWebSocket(options);
  return null;
}

/** The provider's connection. */
export function useWebSocketContext(): UseWebSocketResult {
  if (useContext(ProviderOptions) === undefined) {
    throw new Error('useWebSocketContext needs a <WebSocketProvider> above it');
  }
  return useWebSocket();
}
