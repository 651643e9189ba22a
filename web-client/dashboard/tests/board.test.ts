import type { Alert, BacklogUpdate, KpiUpdate } from '@orgcast/client';
import { describe, expect, it } from 'vitest';
import {
  type Board,
  EMPTY,
  OUTDATED_MS,
  type Part,
  type Payload,
  placesWithin,
  summarize,
  withAlert,
  withNotice,
  withUpdate,
  wordsOf,
} from '../src/board.js';
import { makeFeed } from '../src/demo.js';

const HERE = { organization_id: 'o' };
const T = 1_000_000;

/** A board that heard these, in this order, `at` milliseconds after the first. */
function heard(...updates: [part: Part, payload: object, at?: number][]): Board {
  return updates.reduce(
    (board, [part, payload, at = 0]) =>
      withUpdate(board, part, { ...HERE, ...payload } as unknown as Payload, HERE, T + at),
    EMPTY,
  );
}

const kpi = (health_score: number, place = {}) => ({ ...place, health_score });
const support = { department_id: 'service', queue_name: 'support' };
const billing = { department_id: 'service', queue_name: 'billing' };

describe('what a place says of itself', () => {
  it('wins over those beneath while it is not much older', () => {
    const board = heard(['kpi', kpi(85)], ['kpi', kpi(40, support), OUTDATED_MS]);
    expect(summarize(board, HERE)).toMatchObject({ health: 85, isOwn: true, beneath: 0 });
  });

  it('gives way to those beneath that go on, and comes back when it is renewed', () => {
    const before = heard(['kpi', kpi(85)], ['kpi', kpi(40, support), OUTDATED_MS + 1], ['kpi', kpi(60, billing)]);
    expect(summarize(before, HERE)).toMatchObject({ health: 50, isOwn: false, beneath: 2 });
    const after = withUpdate(before, 'kpi', kpi(90, HERE) as Payload, HERE, T + OUTDATED_MS + 2);
    expect(summarize(after, HERE)).toMatchObject({ health: 90, isOwn: true });
  });

  it('stays for as long as nobody beneath says anything', () => {
    const board = heard(['kpi', kpi(40, support)], ['kpi', kpi(85), 1]);
    expect(summarize(board, HERE).health).toBe(85);
  });

  it('leaves to those beneath what it does not say', () => {
    const queue = { ...support, utilization: { current_utilization: 70 }, headcount_gap: 2, sla_risk: 'high' };
    const board = heard(
      ['kpi', { ...kpi(40), ...queue }],
      ['kpi', kpi(85)],
      ['backlog', { ...billing, total_items: 9 }],
    );
    expect(summarize(board, HERE)).toMatchObject({
      health: 85,
      utilization: 70,
      gap: 2,
      risk: 'high',
      backlog: 9,
      isOwn: true,
      beneath: 2,
    });
  });

  it('does not go for good with one value while another is renewed', () => {
    const old = ['kpi', { health_score: 85, headcount_gap: 4 }] as const;
    const board = heard([...old], ['kpi', kpi(40, support), OUTDATED_MS + 1]);
    expect(summarize(board, HERE)).toMatchObject({ health: 40, gap: 4 });
  });
});

describe('a department', () => {
  it('stands for its queues, and is not counted beside them', () => {
    const board = heard(
      ['backlog', { department_id: 'service', total_items: 30 }],
      ['backlog', { ...support, total_items: 10 }],
      ['backlog', { ...billing, total_items: 15 }],
      ['backlog', { department_id: 'sales', queue_name: 'inbound', total_items: 1 }],
    );
    expect(summarize(board, HERE).backlog).toBe(31);
  });

  it('that has fallen silent is what its queues add up to, in the table too', () => {
    const board = heard(
      ['backlog', { department_id: 'service', total_items: 30 }],
      ['backlog', { ...support, total_items: 10 }, OUTDATED_MS + 1],
      ['backlog', { ...billing, total_items: 15 }, OUTDATED_MS + 1],
    );
    expect(summarize(board, HERE).backlog).toBe(25);
    const rows = placesWithin(board, HERE).map(({ place, summary }) => [place.queue_name ?? 'all', summary.backlog]);
    expect(rows.sort()).toEqual([
      ['all', 25],
      ['billing', 15],
      ['support', 10],
    ]);
  });
});

describe('attendance', () => {
  it('that names nobody as scheduled leaves that open', () => {
    const { attendance } = summarize(heard(['attendance', { present: 5 }]), HERE);
    expect(attendance).toEqual({
      present: 5,
      scheduled: undefined,
      late: undefined,
      absent: undefined,
      onBreak: undefined,
    });
  });

  it('goes on with the queues after a single word of the organization', () => {
    const queues = (at: number) =>
      [support, billing].map(
        (place) => ['attendance', { ...place, scheduled: 10, present: 8 }, at] as [Part, object, number],
      );
    const early = heard(...queues(0), ['attendance', { present: 5 }, 1]);
    expect(summarize(early, HERE).attendance).toMatchObject({ present: 5, scheduled: 20 });
    const late = heard(['attendance', { present: 5 }], ...queues(OUTDATED_MS + 1));
    expect(summarize(late, HERE).attendance).toMatchObject({ present: 16, scheduled: 20 });
  });

  it('of nobody is none', () => {
    expect(summarize(heard(['kpi', kpi(1)]), HERE).attendance).toBeUndefined();
  });
});

describe('what an alert or a notification says', () => {
  it.each([
    [
      { rule_name: 'SLA', message: 'late' },
      { title: 'SLA', text: 'late' },
    ],
    [{ message: 'only this' }, { title: 'only this', text: undefined }],
    [
      { title: 'News', body: 'of today' },
      { title: 'News', text: 'of today' },
    ],
    [
      { title: 'News', message: '' },
      { title: 'News', text: undefined },
    ],
    ['a mere text', { title: 'a mere text', text: undefined }],
    [{ widgetId: 'w', data: {}, timestamp: 1 }, undefined],
    [null, undefined],
    [7, undefined],
  ])('%j', (payload, said) => expect(wordsOf(payload)).toEqual(said));

  it('is what the list shows', () => {
    const alerted = withAlert(EMPTY, 'a', { message: 'only this' } as Alert, HERE);
    const board = withNotice(alerted, 'b', { title: 'News', text: 'of today' }, HERE);
    expect(board.alerts).toMatchObject([
      { id: 'b', title: 'News', text: 'of today', severity: 'notice' },
      { id: 'a', title: 'only this', text: undefined, severity: 'medium' },
    ]);
    expect(board.updates).toBe(2);
  });
});

it('alarms in the demo say what the values before them say', () => {
  const next = makeFeed();
  const last = new Map<string, Record<string, unknown>>();
  const rules = new Set<string>();
  for (let round = 0; round < 30_000; round += 1) {
    const { values, alert } = next();
    for (const [route, body] of values) {
      last.set(`${route} ${(body as { queue_name: string }).queue_name}`, body as Record<string, unknown>);
    }
    if (!alert) continue;
    rules.add(alert.rule_name);
    const kpi = last.get(`kpi ${alert.queue_name}`) as unknown as KpiUpdate;
    const backlog = last.get(`backlog ${alert.queue_name}`) as unknown as BacklogUpdate;
    const attendance = last.get(`attendance ${alert.queue_name}`);
    const { current_utilization: utilization, target_utilization: target = 0 } = kpi.utilization ?? {};
    const { level } = kpi.sla_risk as { level: string };
    if (alert.rule_name === 'Utilization above target') {
      expect(utilization).toBeGreaterThan(target);
      expect(alert.message).toBe(`Agents are at ${utilization} %, their target is ${target} %.`);
    } else if (alert.rule_name === 'SLA at risk') {
      expect(['high', 'critical']).toContain(level);
      expect(alert.severity).toBe(level);
      expect(alert.message).toContain(`the oldest for ${backlog.oldest_item_minutes} min`);
    } else if (alert.rule_name === 'Late arrivals') {
      expect(alert.message).toBe(`Late for their shift: ${attendance?.late}.`);
      expect(attendance?.late).toBeGreaterThan(0);
    } else {
      expect(alert.message).toBe(`${backlog.total_items} items wait, 40 are planned for.`);
      expect(backlog.total_items).toBeGreaterThan(40);
    }
  }
  expect(rules.size).toBe(4);
});

describe('a payload that is nothing like what is expected', () => {
  const hostile = { toString: 1, valueOf: 2, toJSON: 3 };
  const strange = [null, hostile, [], [hostile], true, '', 'text', -1, 1e300, { level: hostile, gap: hostile }];
  const members = [
    ...['organization_id', 'department_id', 'queue_name', 'timestamp', 'severity', 'rule_name', 'message', 'title'],
    ...['utilization', 'headcount_gap', 'sla_risk', 'health_score', 'total_items', 'oldest_item_minutes', 'present'],
  ];

  it.each(['kpi', 'backlog', 'attendance'] as const)('is no reason to throw, as an update of %s', (part) => {
    for (const value of strange) {
      for (const payload of [value, ...members.map((member) => ({ [member]: value }))]) {
        const board = withUpdate(EMPTY, part, payload as Payload, HERE, T);
        const summary = summarize(board, HERE);
        for (const { summary: beneath } of placesWithin(board, HERE)) expect(typeof beneath.isOwn).toBe('boolean');
        expect(['string', 'undefined']).toContain(typeof summary.risk);
        expect(['number', 'undefined']).toContain(typeof summary.health);
      }
    }
  });

  it('is no reason to throw, as an alert', () => {
    for (const value of strange) {
      for (const payload of [value, ...members.map((member) => ({ [member]: value }))]) {
        const [alert] = withAlert(EMPTY, 'a', payload as Alert, HERE).alerts;
        expect(alert).toMatchObject({ severity: 'medium', title: expect.any(String), at: expect.any(Number) });
      }
    }
  });
});
