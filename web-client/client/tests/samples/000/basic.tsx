import { useWebSocket } from '@/hooks/useWebSocket';

function Dashboard() {
  const { isConnected, subscribe } = useWebSocket({
    userId: user.id,
    companyId: user.company_id,
  });

  useEffect(() => {
    // Subscribe to shift updates
    const unsubscribe = subscribe('shift.started', (event) => {
      console.log('New shift started:', event.data);
      // Update UI
      queryClient.invalidateQueries(['shifts']);
    });

    return unsubscribe;
  }, [subscribe]);

  return (
    <div>
      {isConnected ? '🟢 Live' : '🔴 Offline'}
    </div>
  );
}

export { Dashboard };
