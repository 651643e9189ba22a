import { useAlertNotifications } from './hooks/useWebSocket';

function AlertBell() {
  const { latestAlert, alertCount, clearAlertCount } = useAlertNotifications(
    (alert) => {
      // Show toast notification
      showToast(`Alert: ${alert.rule_name}`, alert.severity);
    },
    { organization_id: 'org_123' }
  );

  return (
    <div className="alert-bell" onClick={clearAlertCount}>
      🔔 {alertCount > 0 && <span className="badge">{alertCount}</span>}
    </div>
  );
}

export { AlertBell };
