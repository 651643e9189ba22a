import { WebSocketStatus } from '@/components/WebSocketStatus';

function AppHeader() {
  return (
    <header>
      <h1>Shift Manager</h1>
      <WebSocketStatus
        userId={user.id}
        companyId={user.company_id}
      />
    </header>
  );
}

export { AppHeader };
