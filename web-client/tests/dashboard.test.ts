import { describe, expect, it } from 'vitest';

import {
  type Board,
  EMPTY,
  OUTDATED_MS,
  type Part,
  type Payload,
  placesWithin,
  summarize,
  withUpdate,
} from '../dashboard/src/board.js';

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
