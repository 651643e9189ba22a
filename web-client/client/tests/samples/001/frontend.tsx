import { WebSocketProvider } from '@context/WebSocketContext';
import { useWebSocketContext } from '@context/WebSocketContext';
import { useDashboardRealtime } from '@hooks/useDashboardRealtime';

// Wrap app with WebSocketProvider
function App() {
  return (
    <WebSocketProvider
      options={{
        url: 'ws://localhost:3001',
        autoConnect: true,
        debug: false,
      }}
    >
      <Dashboard />
    </WebSocketProvider>
  );
}

// Use WebSocket in components
function Dashboard() {
  const ws = useWebSocketContext();

  // Subscribe to dashboard updates
  useEffect(() => {
    const unsubscribe = ws.subscribe('notification', (message) => {
      console.log('Received update:', message);
    });

    return unsubscribe;
  }, [ws]);

  return <div>Dashboard</div>;
}

// Use dashboard realtime hook
function DashboardWithRealtime() {
  const { isConnected, status } = useDashboardRealtime({
    enabled: true,
    autoRefreshInterval: 5000,
    onUpdate: (payload) => {
      console.log('Dashboard updated:', payload);
    },
  });

  return <div>Status: {status}</div>;
}

export { App, Dashboard, DashboardWithRealtime };
