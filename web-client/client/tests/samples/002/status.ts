import { getWebSocketClient } from '@/lib/websocket/client';

export function sample() {
const wsClient = getWebSocketClient();

// Check if connected
if (wsClient.isConnected) {
  console.log('WebSocket connected');
} else {
  console.log('WebSocket disconnected');
}

return wsClient.on('timesheet:approved', (message) => {
  try {
    // Handle message
  } catch (err) {
    console.error('Error handling message:', err);
    // Log to error tracking service
  }
});
}
