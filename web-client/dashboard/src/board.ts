import type { Alert, AttendanceUpdate, BacklogUpdate, KpiUpdate } from '@orgcast/client';

import { isWithin, keyOf, keysAbove, type Place, placeOf } from './places.js';

export type Severity = 'low' | 'medium' | 'high' | 'critical';

export interface SeenAlert extends Said {
  id: string;
  severity: Severity | 'notice';
  at: number;
  place: Place;
}

/** What one place said last. */
export interface Row {
  key: string;
  place: Place;
  /** The keys of the places above it. */
  above: readonly string[];
  kpi?: Heard<KpiUpdate>;
  backlog?: Heard<BacklogUpdate>;
  attendance?: Heard<AttendanceUpdate>;
}

/** A payload, and when it came. */
interface Heard<T> {
  payload: T;
  at: number;
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

export function withUpdate(board: Board, part: Part, payload: Payload, heardAt: Place, at = Date.now()): Board {
  const place = placeOf(payload, heardAt);
  const key = keyOf(place);
  const rows = new Map(board.rows);
  const before = rows.get(key) ?? { key, place, above: keysAbove(place) };
  rows.set(key, { ...before, [part]: { payload, at } });
  return { ...board, rows, updates: board.updates + 1 };
}

export function withAlert(board: Board, id: string, alert: Alert | null, heardAt: Place): Board {
  const at = Date.parse(text(alert?.timestamp) ?? '') || Date.now();
  const said = wordsOf(alert) ?? { title: 'Alert', text: undefined };
  return withSeen(board, { id, ...said, severity: severityOf(alert), at, place: placeOf(alert, heardAt) });
}

export function severityOf(alert: Alert | null): Severity {
  return (['low', 'medium', 'high', 'critical'] as const).find((name) => name === alert?.severity) ?? 'medium';
}

export function withNotice(board: Board, id: string, said: Said, place: Place, at = Date.now()): Board {
  return withSeen(board, { id, ...said, severity: 'notice', at, place });
}

function withSeen(board: Board, seen: SeenAlert): Board {
  return { ...board, alerts: [seen, ...board.alerts].slice(0, ALERTS_KEPT), updates: board.updates + 1 };
}

/** What an alert or a notification says to people. */
export interface Said {
  title: string;
  text: string | undefined;
}

/** The first of these that is there is the title, the next one the text. */
const WORDS = ['rule_name', 'title', 'message', 'body', 'description', 'text'] as const;

/** `undefined` if it says nothing to people: events of the same names carry rows and widgets too. */
export function wordsOf(payload: unknown): Said | undefined {
  if (typeof payload === 'string' && payload !== '') return { title: payload, text: undefined };
  if (typeof payload !== 'object' || payload === null) return undefined;
  const fields = payload as Record<string, unknown>;
  const [title, text] = WORDS.map((name) => fields[name]).filter((word) => typeof word === 'string' && word !== '');
  return title === undefined ? undefined : { title: String(title), text: text as string | undefined };
}

export interface Summary {
  health: number | undefined;
  utilization: number | undefined;
  target: number | undefined;
  gap: number | undefined;
  risk: string | undefined;
  backlog: number | undefined;
  oldest: number | undefined;
  attendance: People | undefined;
  /** Whether something of it is what the place says of itself. */
  isOwn: boolean;
  /** From how many places beneath the rest is combined. */
  beneath: number;
}

/** Everybody who was reported; who was not is not zero. */
export type People = Record<'scheduled' | 'present' | 'late' | 'absent' | 'onBreak', number | undefined>;

/**
 * How much older than the newest word from beneath what a place says of itself may be. Backends that publish both do
 * so in turns; one that has stopped must not hide those that go on.
 */
export const OUTDATED_MS = 15_000;

/** What a place says of itself; whatever it leaves open or has not renewed is what those beneath it add up to. */
export function summarize(board: Board, place: Place): Summary {
  return summarizeRows([...board.rows.values()], place);
}

function summarizeRows(rows: readonly Row[], place: Place): Summary {
  const own = keyOf(place);
  const within = rows.filter((row) => row.key === own || isWithin(row.place, place));
  const used = new Set<string>();
  const read = <T>(part: Part, value: (row: Row) => T | undefined): T[] => {
    const found = representatives(within, part, value);
    for (const { key } of found) used.add(key);
    return found.map(({ known }) => known);
  };
  const kpi = <T>(value: (kpi: KpiUpdate | undefined) => T | undefined) =>
    read('kpi', (row) => value(row.kpi?.payload));
  const backlog = (name: 'total_items' | 'oldest_item_minutes') =>
    read('backlog', (row) => number(row.backlog?.payload?.[name]));
  const people = (name: 'scheduled' | 'present' | 'late' | 'absent' | 'on_break') =>
    sum(read('attendance', (row) => number(row.attendance?.payload?.[name])));
  const attendance: People = {
    scheduled: people('scheduled'),
    present: people('present'),
    late: people('late'),
    absent: people('absent'),
    onBreak: people('on_break'),
  };
  const known = {
    health: mean(kpi((it) => number(it?.health_score))),
    utilization: mean(kpi((it) => number(it?.utilization?.current_utilization))),
    target: mean(kpi((it) => number(it?.utilization?.target_utilization))),
    gap: sum(kpi(gapOf)),
    risk: kpi(riskOf).sort((a, b) => rank(b) - rank(a))[0],
    backlog: sum(backlog('total_items')),
    oldest: max(backlog('oldest_item_minutes')),
    attendance: Object.values(attendance).every((count) => count === undefined) ? undefined : attendance,
  };
  const isOwn = used.delete(own);
  return { ...known, isOwn, beneath: used.size };
}

/**
 * Those whose word counts for a value. A department that speaks for itself stands for its queues, unless one of them
 * has said something since and the department nothing for a while.
 */
function representatives<T>(
  rows: readonly Row[],
  part: Part,
  value: (row: Row) => T | undefined,
): { key: string; known: T }[] {
  const said = rows.flatMap((row) => {
    const known = value(row);
    return known === undefined ? [] : [{ key: row.key, above: row.above, known, at: row[part]?.at ?? 0 }];
  });
  const newestBeneath = new Map<string, number>();
  for (const { above, at } of said) {
    for (const key of above) newestBeneath.set(key, Math.max(at, newestBeneath.get(key) ?? 0));
  }
  const current = said.filter(({ key, at }) => at + OUTDATED_MS >= (newestBeneath.get(key) ?? 0));
  const speaking = new Set(current.map(({ key }) => key));
  return current.filter(({ above }) => !above.some((key) => speaking.has(key)));
}

/** The places beneath a place that have something to compare, each with what is to be shown of it. */
export function placesWithin(board: Board, place: Place): { key: string; place: Place; summary: Summary }[] {
  const own = keyOf(place);
  const rows = [...board.rows.values()].filter((row) => row.key !== own && isWithin(row.place, place));
  const parents = new Set(rows.flatMap((row) => row.above));
  return rows
    .filter((row) => row.kpi || row.backlog)
    .sort((a, b) => a.key.localeCompare(b.key))
    .map((row) => ({
      key: row.key,
      place: row.place,
      summary: summarizeRows(parents.has(row.key) ? rows : [row], row.place),
    }));
}

function gapOf(kpi: KpiUpdate | undefined): number | undefined {
  const gap = kpi?.headcount_gap;
  return number(typeof gap === 'object' && gap !== null ? gap.gap : gap);
}

function riskOf(kpi: KpiUpdate | undefined): string | undefined {
  const risk = kpi?.sla_risk;
  const level = typeof risk === 'object' && risk !== null ? risk.level : risk;
  return text(level) ?? number(level)?.toString();
}

const RISKS = ['low', 'medium', 'high', 'critical'];

export function rank(risk: string): number {
  return RISKS.indexOf(risk.toLowerCase());
}

// What a backend posts may be anything.
function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
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
