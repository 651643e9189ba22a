import { websocketClient } from './services/websocketClient';

export async function initialize() {
// Initialize
websocketClient.initialize({
  url: 'http://localhost:5000',
  path: '/ws',
  reconnection: true,
  reconnectionAttempts: 5,
  autoConnect: true,
});

// Authenticate
await websocketClient.authenticate(userId, organizationId);
}

export async function subscribe() {
// Subscribe to KPI updates for specific queue
await websocketClient.subscribe(
  ['kpi'],
  {
    organization_id: 'org_123',
    department_id: 'dept_456',
    queue_name: 'support',
  }
);

// Subscribe to all alerts for organization
await websocketClient.subscribe(
  ['alerts'],
  { organization_id: 'org_123' }
);
}

export function handleEvents() {
return websocketClient.on({
  onConnect: () => console.log('Connected'),
  onDisconnect: (reason) => console.log('Disconnected:', reason),
  onKPIUpdate: (payload) => {
    console.log('KPI update:', payload);
    // Update UI with new KPIs
  },
  onAlertTriggered: (payload) => {
    console.log('Alert:', payload);
    // Show notification
  },
});
}

export function configure() {
websocketClient.initialize({
  url: 'http://localhost:5000',
  path: '/ws',
  reconnection: true,
  reconnectionAttempts: 5,
  reconnectionDelay: 1000,
  timeout: 20000,
  autoConnect: true,
});
}
