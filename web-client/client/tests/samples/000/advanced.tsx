import { useWebSocket } from '@/hooks/useWebSocket';

function Channels() {
  const { subscribeToChannel, unsubscribeFromChannel } = useWebSocket({
    companyId: user.company_id,
  });

  // Subscribe to specific channels
  useEffect(() => {
    subscribeToChannel('high-priority-violations');
    subscribeToChannel('employee-status-changes');

    return () => {
      unsubscribeFromChannel('high-priority-violations');
      unsubscribeFromChannel('employee-status-changes');
    };
  }, []);
  return null;
}

function ManualReconnection() {
  const { reconnect, disconnect, isConnected } = useWebSocket();

  return (
    <div>
      {!isConnected && (
        <Button onClick={reconnect}>
          Reconnect
        </Button>
      )}
    </div>
  );
}

function ErrorHandling() {
  const { error } = useWebSocket({
    companyId: user.company_id,
    onError: (error) => {
      console.error('WebSocket error:', error);
      Sentry.captureException(error);
    },
    onDisconnect: () => {
      toast.warning('Lost connection. Reconnecting...');
    },
    onConnect: () => {
      toast.success('Connected to real-time updates');
    },
  });
  return null;
}

function CustomReconnection() {
  const ws = useWebSocket({
    companyId: user.company_id,
    autoReconnect: true,
    reconnectInterval: 5000,      // 5 seconds
    maxReconnectAttempts: 10,     // Try 10 times
  });
  return ws.status;
}

export { Channels, CustomReconnection, ErrorHandling, ManualReconnection };
