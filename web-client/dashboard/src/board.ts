import type { Alert, AttendanceUpdate, BacklogUpdate, KpiUpdate } from '@orgcast/client';

import { isWithin, keyOf, type Place, placeOf } from './places.js';

export type Severity = 'low' | 'medium' | 'high' | 'critical';

export interface SeenAlert {
  id: string;
  rule: string;
  message: string | undefined;
  severity: Severity;
  at: number;
  place: Place;
}

/** What one place said last. */
export interface Row {
  key: string;
  place: Place;
  kpi?: KpiUpdate;
  backlog?: BacklogUpdate;
  attendance?: AttendanceUpdate;
}

/** What is known now. Never changed, only replaced. */
export interface Board {
  rows: ReadonlyMap<string, Row>;
  alerts: readonly SeenAlert[];
  updates: number;
}

export const EMPTY: Board = { rows: new Map(), alerts: [], updates: 0 };

const ALERTS_KEPT = 50;

export type Part = 'kpi' | 'backlog' | 'attendance';

export type Payload = KpiUpdate | BacklogUpdate | AttendanceUpdate;

export function withUpdate(board: Board, part: Part, payload: Payload, heardAt: Place): Board {
  const place = placeOf(payload, heardAt);
  const key = keyOf(place);
  const rows = new Map(board.rows);
  rows.set(key, { ...rows.get(key), key, place, [part]: payload } as Row);
  return { ...board, rows, updates: board.updates + 1 };
}

export function withAlert(board: Board, id: string, alert: Alert, heardAt: Place): Board {
  const at = Date.parse(alert.timestamp ?? '') || Date.now();
  const severity = (['low', 'medium', 'high', 'critical'] as const).find((name) => name === alert.severity) ?? 'medium';
  const seen: SeenAlert = {
    id,
    rule: String(alert.rule_name ?? 'Alert'),
    message: alert.message,
    severity,
    at,
    place: placeOf(alert, heardAt),
  };
  return { ...board, alerts: [seen, ...board.alerts].slice(0, ALERTS_KEPT), updates: board.updates + 1 };
}

export interface Summary {
  health: number | undefined;
  utilization: number | undefined;
  target: number | undefined;
  gap: number | undefined;
  risk: string | undefined;
  backlog: number | undefined;
  oldest: number | undefined;
  attendance: { scheduled: number; present: number; late: number; absent: number; onBreak: number } | undefined;
  /** How many places it is made of; 1 if the place speaks for itself. */
  sources: number;
}

/** What a place says of itself, or else what those beneath it add up to. */
export function summarize(board: Board, place: Place): Summary {
  const kpis = pick(board, place, 'kpi');
  const backlogs = pick(board, place, 'backlog');
  const attendances = pick(board, place, 'attendance');
  const risks = kpis.map((row) => riskOf(row.kpi)).filter((risk) => risk !== undefined);
  const total = (name: keyof AttendanceUpdate) => sum(attendances.map((row) => number(row.attendance?.[name]))) ?? 0;
  return {
    health: mean(kpis.map((row) => number(row.kpi?.health_score))),
    utilization: mean(kpis.map((row) => number(row.kpi?.utilization?.current_utilization))),
    target: mean(kpis.map((row) => number(row.kpi?.utilization?.target_utilization))),
    gap: sum(kpis.map((row) => gapOf(row.kpi))),
    risk: risks.sort((a, b) => rank(b) - rank(a))[0],
    backlog: sum(backlogs.map((row) => number(row.backlog?.total_items))),
    oldest: max(backlogs.map((row) => number(row.backlog?.oldest_item_minutes))),
    attendance:
      attendances.length === 0
        ? undefined
        : {
            scheduled: total('scheduled'),
            present: total('present'),
            late: total('late'),
            absent: total('absent'),
            onBreak: total('on_break'),
          },
    sources: Math.max(kpis.length, backlogs.length, attendances.length),
  };
}

/** The rows beneath a place that have something to compare. */
export function rowsWithin(board: Board, place: Place): Row[] {
  return [...board.rows.values()]
    .filter((row) => isWithin(row.place, place) && row.key !== keyOf(place) && (row.kpi || row.backlog))
    .sort((a, b) => a.key.localeCompare(b.key));
}

function pick(board: Board, place: Place, part: Part): Row[] {
  const own = board.rows.get(keyOf(place));
  if (own?.[part]) return [own];
  const within = [...board.rows.values()].filter((row) => row[part] && isWithin(row.place, place));
  // A department that speaks for itself stands for its queues.
  return within.filter((row) => !within.some((above) => above !== row && isWithin(row.place, above.place)));
}

export function gapOf(kpi: KpiUpdate | undefined): number | undefined {
  const gap = kpi?.headcount_gap;
  return number(typeof gap === 'object' && gap !== null ? gap.gap : gap);
}

export function riskOf(kpi: KpiUpdate | undefined): string | undefined {
  const risk = kpi?.sla_risk;
  if (risk === undefined || risk === null) return undefined;
  return String(typeof risk === 'object' ? risk.level : risk);
}

const RISKS = ['low', 'medium', 'high', 'critical'];

export function rank(risk: string): number {
  return RISKS.indexOf(risk.toLowerCase());
}

export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function known(values: (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

function sum(values: (number | undefined)[]): number | undefined {
  const all = known(values);
  return all.length === 0 ? undefined : all.reduce((a, b) => a + b, 0);
}

function mean(values: (number | undefined)[]): number | undefined {
  const total = sum(values);
  return total === undefined ? undefined : total / known(values).length;
}

function max(values: (number | undefined)[]): number | undefined {
  const all = known(values);
  return all.length === 0 ? undefined : Math.max(...all);
}
