import { useWebSocketEvent } from '@/hooks/useWebSocket';

function ViolationsPanel() {
  const [violations, setViolations] = useState([]);

  // Listen to violation events
  useWebSocketEvent(
    'violation.detected',
    (violation) => {
      setViolations(prev => [violation, ...prev]);
      
      // Show toast notification
      toast.error(`New violation: ${violation.type}`);
    },
    { companyId: user.company_id }
  );

  return (
    <div>
      {violations.map(v => <ViolationCard key={v.id} violation={v} />)}
    </div>
  );
}

export { ViolationsPanel };
