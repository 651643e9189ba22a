import type { PayloadOf } from '@orgcast/client';

// Dates are texts on the wire, and no member is one that a server asks backends for: see `accept`.
interface ShiftData {
  id: string;
  employee_id: string;
  status: 'active' | 'paused' | 'completed' | 'cancelled';
  actual_start_at: string;
  actual_end_at: string | null;
}

interface BreakData {
  id: string;
  shift_id: string;
  start_at: string;
  end_at: string | null;
}

interface ViolationData {
  id: string;
  employee_id: string;
  type: string;
  severity: number;
  description: string;
  detected_at: string;
}

interface DashboardData {
  activeShifts: number;
  activeEmployees: number;
  totalViolations: number;
  pendingExceptions: number;
  avgRating: number;
}

export const accept = {
  shift: (data: PayloadOf<'shift.started'>): Partial<ShiftData> => data,
  end: (data: PayloadOf<'break.ended'>): Partial<BreakData> => data,
  violation: (data: PayloadOf<'violation.detected'>): Partial<ViolationData> => data,
  stats: (data: PayloadOf<'dashboard.stats_updated'>): Partial<DashboardData> => data,
};
