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

const RULES = [
  ['Backlog above forecast', 'high', 'The backlog grows faster than it is worked off.'],
  ['Utilization above target', 'medium', 'Agents have been over their target for ten minutes.'],
  ['Late arrivals', 'low', 'Two people have not checked in for their shift.'],
  ['SLA at risk', 'critical', 'The oldest item reaches its limit in five minutes.'],
] as const;

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
  const queues = QUEUES.map((queue) => ({ ...queue }));
  let ticks = 0;
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
    const posts: Promise<void>[] = [];
    for (const queue of queues) {
      const at = { department_id: queue.department_id, queue_name: queue.queue_name };
      step(queue, ticks);
      posts.push(post('kpi', { ...at, ...kpiOf(queue) }), post('backlog', { ...at, ...backlogOf(queue) }));
      if (ticks % 3 === 0) posts.push(post('attendance', { ...at, ...attendanceOf(queue) }));
    }
    if (ticks % 14 === 4) {
      const [rule_name, severity, message] = pickOne(RULES);
      const { department_id, queue_name } = pickOne(queues);
      posts.push(post('alert', { department_id, queue_name, rule_name, severity, message }));
    }
    ticks += 1;
    await Promise.all(posts);
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

function step(queue: Queue, tick: number): void {
  const wave = Math.sin((tick + queue.scheduled * 9) / 17);
  queue.utilization = clamp(queue.utilization + wave * 0.9 + noise(2.4), 38, 99);
  queue.backlog = clamp(queue.backlog + (queue.utilization - 74) / 14 + noise(3), 0, 160);
  queue.oldest = clamp(queue.oldest + noise(1.6) + (queue.backlog > 40 ? 0.3 : -0.2), 1, 55);
}

function kpiOf(queue: Queue): object {
  const headcount_gap = Math.round(((queue.utilization - 80) / 100) * queue.scheduled);
  const load = queue.utilization / 2 + queue.backlog / 4 + queue.oldest / 2;
  return {
    utilization: { current_utilization: round(queue.utilization), target_utilization: 80 },
    headcount_gap,
    sla_risk: { level: load > 72 ? 'critical' : load > 60 ? 'high' : load > 48 ? 'medium' : 'low' },
    health_score: Math.round(clamp(118 - load, 5, 99)),
  };
}

function backlogOf(queue: Queue): object {
  return { total_items: Math.round(queue.backlog), oldest_item_minutes: Math.round(queue.oldest) };
}

function attendanceOf({ scheduled }: Queue): object {
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

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function pickOne<T>(of: readonly T[]): T {
  return of[Math.floor(Math.random() * of.length)] as T;
}
