import { type ReactNode, useContext, useMemo } from 'react';

import { ProviderOptions } from './binding.js';
import { type UseWebSocketOptions, type UseWebSocketResult, useWebSocket } from './use-websocket.js';

export interface WebSocketProviderProps {
  options?: UseWebSocketOptions | undefined;
  children?: ReactNode;
}

/** The connection that every hook beneath means unless it says otherwise. */
export function WebSocketProvider({ options, children }: WebSocketProviderProps): ReactNode {
  // Usually written in place, and so a new object with every render.
  const key = JSON.stringify(options);
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
    return rest;
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
