import { useWebSocket } from './hooks/useWebSocket';
import { KPIWidget as Dashboard } from './kpi-widget';

function App() {
  const {
    isConnected,
    isAuthenticated,
    connectionStatus,
    authenticate,
  } = useWebSocket({
    url: 'http://localhost:5000',
    autoConnect: true,
    autoAuthenticate: true,
    userId: 'user_123',
    organizationId: 'org_123',
  });

  return (
    <div>
      Status: {connectionStatus}
      {isConnected && isAuthenticated && <Dashboard />}
    </div>
  );
}

export { App };
