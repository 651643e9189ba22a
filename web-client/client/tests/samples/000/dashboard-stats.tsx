import { useDashboardUpdates } from '@/hooks/useWebSocket';

function DashboardStats() {
  const [stats, setStats] = useState(null);

  useDashboardUpdates(
    user.company_id,
    (newStats) => {
      setStats(newStats);
    }
  );

  return (
    <div>
      <Stat label="Active Shifts" value={stats?.activeShifts} />
      <Stat label="Violations" value={stats?.violations} />
    </div>
  );
}

export { DashboardStats };
