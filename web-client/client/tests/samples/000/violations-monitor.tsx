import { useViolationUpdates } from '@/hooks/useWebSocket';

function ViolationsMonitor() {
  useViolationUpdates(
    user.company_id,
    (violation) => {
      // Show notification
      if (violation.severity >= 7) {
        toast.error(`High severity violation detected!`, {
          description: violation.description,
        });
      }
      
      // Refetch violations
      queryClient.invalidateQueries(['violations']);
    }
  );

  // ...
  return null;
}

export { ViolationsMonitor };
