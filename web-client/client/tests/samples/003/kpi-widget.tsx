import { useKPIUpdates } from './hooks/useWebSocket';

function KPIWidget() {
  const { latestUpdate } = useKPIUpdates(
    (payload) => {
      console.log('New KPI data:', payload);
    },
    {
      organization_id: 'org_123',
      queue_name: 'support',
    }
  );

  if (!latestUpdate) return <div>Waiting for updates...</div>;

  return (
    <div>
      <h3>Live KPIs</h3>
      <div>Utilization: {latestUpdate.utilization.current_utilization}%</div>
      <div>Health: {latestUpdate.health_score}</div>
    </div>
  );
}

export { KPIWidget };
