import { getWebSocketClient } from '@/lib/websocket/client';

export function sample() {
// Get client instance
const wsClient = getWebSocketClient();

// Connect with auth token
const token = 'your-jwt-token';
wsClient.connect(token);

// Subscribe to events
const unsubscribe = wsClient.on('timesheet:approved', (message) => {
  console.log('Timesheet approved:', message.payload);
  // Update UI, show notification, etc.
});

// Unsubscribe when done
unsubscribe();

// Disconnect
wsClient.disconnect();
}
