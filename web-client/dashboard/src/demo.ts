/** Plausible data for a first look, published the way a backend would: by the server's REST API. */

import { keyHeader, type Place } from './places.js';

interface Queue {
  department_id: string;
  queue_name: string;
  utilization: number;
  backlog: number;
  oldest: number;
  scheduled: number;
}

const QUEUES: Queue[] = [
  { department_id: 'service', queue_name: 'support', utilization: 84, backlog: 46, oldest: 12, scheduled: 24 },
  { department_id: 'service', queue_name: 'billing', utilization: 71, backlog: 18, oldest: 7, scheduled: 12 },
  { department_id: 'sales', queue_name: 'inbound', utilization: 78, backlog: 9, oldest: 3, scheduled: 16 },
  { department_id: 'sales', queue_name: 'outbound', utilization: 66, backlog: 31, oldest: 21, scheduled: 10 },
];

/** Where the demo publishes in an organization. */
export function demoPlaces(organization_id: string): Place[] {
  return QUEUES.map(({ department_id, queue_name }) => ({ organization_id, department_id, queue_name }));
}

/** Percent of their time that agents should be busy. */
const TARGET = 80;

/** A backlog above it is worth an alert. */
const MOST_ITEMS = 40;

const TICK_MS = 1000;

/** Why the demo stopped. */
export class DemoError extends Error {
  /** Whether another API key would help, or one at all. */
  readonly isAboutKey: boolean;

  constructor(message: string, isAboutKey: boolean) {
    super(message);
    this.isAboutKey = isAboutKey;
  }
}

interface DemoOptions {
  server: string;
  organization_id: string;
  apiKey: string | undefined;
  /** Called at most once. */
  failed: (error: DemoError) => void;
}

/** Publishes for an organization until the function it gives is called. */
export function startDemo({ server, organization_id, apiKey, failed }: DemoOptions): () => void {
  const nextRound = makeFeed();
  let isOver = false;

  const post = async (route: string, body: object) => {
    const response = await fetch(`${server}/api/ws/broadcast/${route}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...keyHeader(apiKey) },
      body: JSON.stringify({ organization_id, timestamp: new Date().toISOString(), ...body }),
    });
    if (response.ok) return;
    const answer = await response.json().catch(() => null);
    const message = answer?.error?.message ?? `the server answered ${response.status}`;
    throw new DemoError(message, response.status === 401 || response.status === 403);
  };

  const tick = async () => {
    const { values, alert } = nextRound();
    await Promise.all(values.map(([route, body]) => post(route, body)));
    if (alert) await post('alert', alert);
  };

  let timer: ReturnType<typeof setTimeout>;
  const loop = () => {
    tick().then(
      () => {
        if (!isOver) timer = setTimeout(loop, TICK_MS);
      },
      (error: unknown) => {
        if (isOver) return;
        // One that refuses will go on refusing; one that restarts is back in a moment.
        if (error instanceof DemoError) failed(error);
        else timer = setTimeout(loop, 2 * TICK_MS);
      },
    );
  };
  loop();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

interface Round {
  values: [route: 'kpi' | 'backlog' | 'attendance', body: object][];
  /** Of the values that are there now; to be published after them. */
  alert: (Alarm & Pick<Queue, 'department_id' | 'queue_name'>) | undefined;
}

/** What is published, round after round. */
export function makeFeed(): () => Round {
  const queues = QUEUES.map((queue) => ({ ...queue, late: 0 }));
  let rounds = 0;
  return () => {
    const values: Round['values'] = [];
    const alarms: Round['alert'][] = [];
    for (const queue of queues) {
      const at = { department_id: queue.department_id, queue_name: queue.queue_name };
      step(queue, rounds);
      const kpi = kpiOf(queue);
      const backlog = backlogOf(queue);
      values.push(['kpi', { ...at, ...kpi }], ['backlog', { ...at, ...backlog }]);
      if (rounds % 3 === 0) {
        const attendance = attendanceOf(queue);
        queue.late = attendance.late;
        values.push(['attendance', { ...at, ...attendance }]);
      }
      alarms.push(...alarmsOf(kpi, backlog, queue.late).map((alarm) => ({ ...at, ...alarm })));
    }
    const alert = rounds % 14 === 4 ? pickOne(alarms) : undefined;
    rounds += 1;
    return { values, alert };
  };
}

interface Alarm {
  rule_name: string;
  severity: string;
  message: string;
}

/** What the values give cause for. */
function alarmsOf(kpi: ReturnType<typeof kpiOf>, backlog: ReturnType<typeof backlogOf>, late: number): Alarm[] {
  const alarms: Alarm[] = [];
  const add = (rule_name: string, severity: string, message: string) => alarms.push({ rule_name, severity, message });
  const { current_utilization } = kpi.utilization;
  const { total_items, oldest_item_minutes } = backlog;
  const { level } = kpi.sla_risk;
  if (current_utilization > TARGET) {
    add('Utilization above target', 'medium', `Agents are at ${current_utilization} %, their target is ${TARGET} %.`);
  }
  if (total_items > MOST_ITEMS) {
    add('Backlog above plan', 'medium', `${total_items} items wait, ${MOST_ITEMS} are planned for.`);
  }
  if (level === 'high' || level === 'critical') {
    add('SLA at risk', level, `${total_items} items wait, the oldest for ${oldest_item_minutes} min.`);
  }
  if (late > 0) add('Late arrivals', 'low', `Late for their shift: ${late}.`);
  return alarms;
}

function step(queue: Queue, round: number): void {
  const wave = Math.sin((round + queue.scheduled * 9) / 17);
  queue.utilization = clamp(queue.utilization + wave * 0.9 + noise(2.4), 38, 99);
  queue.backlog = clamp(queue.backlog + (queue.utilization - 74) / 14 + noise(3), 0, 160);
  queue.oldest = clamp(queue.oldest + noise(1.6) + (queue.backlog > 40 ? 0.3 : -0.2), 1, 55);
}

function kpiOf(queue: Queue) {
  const load = queue.utilization / 2 + queue.backlog / 4 + queue.oldest / 2;
  return {
    utilization: { current_utilization: tenths(queue.utilization), target_utilization: TARGET },
    headcount_gap: Math.round(((queue.utilization - TARGET) / 100) * queue.scheduled),
    sla_risk: { level: load > 72 ? 'critical' : load > 60 ? 'high' : load > 48 ? 'medium' : 'low' },
    health_score: Math.round(clamp(118 - load, 5, 99)),
  };
}

function backlogOf(queue: Queue) {
  return { total_items: Math.round(queue.backlog), oldest_item_minutes: Math.round(queue.oldest) };
}

function attendanceOf({ scheduled }: Queue) {
  const absent = Math.round(Math.random() * 1.4);
  const late = Math.round(Math.random() * 1.8);
  const on_break = Math.round(scheduled * (0.06 + Math.random() * 0.1));
  return { scheduled, absent, late, on_break, present: scheduled - absent - late - on_break };
}

function noise(size: number): number {
  return (Math.random() - 0.5) * size;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

function pickOne<T>(of: readonly T[]): T | undefined {
  return of[Math.floor(Math.random() * of.length)];
}
