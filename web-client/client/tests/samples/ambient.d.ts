// What the samples use without saying where it comes from.
import type * as React from 'react';

// Channels that the server's configuration adds.
declare module '@orgcast/client' {
  interface ChannelMap {
    'high-priority-violations': true;
    'employee-status-changes': true;
  }
}

declare global {
  const useState: typeof React.useState;
  const useEffect: typeof React.useEffect;
  const user: { id: string; company_id: string };
  const userId: string;
  const organizationId: string;
  const toast: any;
  const Sentry: any;
  const showToast: any;
  const refetch: any;
  const queryClient: any;
  const Button: any;
  const Stat: any;
  const ViolationCard: any;
  const Routes: any;
  const handleApproval: any;
  const handleRejection: any;
  const handleAnnotation: any;
  function useQueryClient(): any;
}
