import { getWebSocketClient } from '@/lib/websocket/client';

export function sample() {
const wsClient = getWebSocketClient();

// Subscribe to multiple events
const unsubscribes = [
  wsClient.on('timesheet:approved', handleApproval),
  wsClient.on('timesheet:rejected', handleRejection),
  wsClient.on('timesheet:annotated', handleAnnotation),
];

// Cleanup
return () => {
unsubscribes.forEach(unsub => unsub());
};
}
