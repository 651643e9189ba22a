import { useWebSocketEvent } from '@/hooks/useWebSocket';

function NotificationListener() {
  useWebSocketEvent(
    'system.notification',
    (notification) => {
      toast(notification.message, {
        description: notification.description,
      });
    }
  );

  return null; // This is a listener component
}

// In App.tsx
function App() {
  return (
    <>
      <NotificationListener />
      <Routes />
    </>
  );
}

export { App };
