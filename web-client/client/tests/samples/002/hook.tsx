import { useWebSocket } from '@/lib/websocket/client';
import { useEffect } from 'react';

function TimesheetList() {
  useEffect(() => {
    const unsubscribe = useWebSocket('timesheet:approved', (message) => {
      // Handle approval notification
      toast.success(`Timesheet ${message.payload.id} approved!`);
      // Refresh list
      refetch();
    });

    return unsubscribe;
  }, []);

  return <div>...</div>;
}

export { TimesheetList };
