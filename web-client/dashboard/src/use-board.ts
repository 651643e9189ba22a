import { FrameValue, useWebSocketEvent } from '@orgcast/client/react';
import { useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';

import type { Toast } from './Alerts.js';
import {
  type Board,
  EMPTY,
  type Part,
  type Payload,
  type Summary,
  severityOf,
  summarize,
  withAlert,
  withNotice,
  withUpdate,
  wordsOf,
} from './board.js';
import { isWithin, keyOf, labelWithin, type Place, placeOf } from './places.js';

export interface Point {
  /** Seconds since 1970. */
  at: number;
  utilization: number | null;
  target: number | null;
  backlog: number | null;
}

const POINTS_KEPT = 900;

/** No denser than this: a burst is one point. */
const SPACING_S = 0.5;

/** Events that tell people something, beside alerts. */
const NOTICES: ReadonlySet<string> = new Set([
  'notification',
  'notification:new',
  'GENERAL_NOTIFICATION',
  'system:notification',
  'system.notification',
  'system:broadcast',
  'system:maintenance',
]);

/** What is published at a place and beneath it, from the moment it was chosen. */
export function useBoard(
  place: Place,
  toast: (toast: Toast) => void,
): { board: Board; summary: Summary; history: readonly Point[] } {
  const key = keyOf(place);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another place begins with nothing
  const value = useMemo(() => new FrameValue<Board>(EMPTY), [key]);
  const add = (part: Part) => (payload: Payload) => value.change((board) => withUpdate(board, part, payload, place));
  useWebSocketEvent('kpi:update', add('kpi'), place);
  useWebSocketEvent('backlog:update', add('backlog'), place);
  useWebSocketEvent('attendance:update', add('attendance'), place);
  useWebSocketEvent(
    'alert:triggered',
    (alert, { id }) => {
      value.change((board) => withAlert(board, id, alert, place));
      toast({
        id,
        severity: severityOf(alert),
        title: 'Alert',
        ...wordsOf(alert),
        text: wordsOf(alert)?.text ?? labelWithin(placeOf(alert, place), place),
      });
    },
    place,
  );
  // Their channel is that of the page, or they have none; those that go to everybody name no place.
  useWebSocketEvent('*', (payload, { id, event }) => {
    const said = NOTICES.has(event) ? wordsOf(payload) : undefined;
    if (!said) return;
    const at = placeOf(payload !== null && typeof payload === 'object' ? payload : {}, place);
    if (!isWithin(at, place) && !isWithin(place, at)) return;
    value.change((board) => withNotice(board, id, said, at));
    toast({ id, severity: 'notice', title: said.title, text: said.text ?? '' });
  });
  const board = useSyncExternalStore(value.watch, value.get);
  const summary = useMemo(() => summarize(board, place), [board, place]);
  return { board, summary, history: useHistory(key, board, summary) };
}

function useHistory(key: string, board: Board, summary: Summary): readonly Point[] {
  const [history, setHistory] = useState<readonly Point[]>([]);
  const shownFor = useRef(key);
  // Before it is painted: the chart and the key figures show one moment.
  useLayoutEffect(() => {
    const isOther = shownFor.current !== key;
    shownFor.current = key;
    if (isOther) setHistory([]);
    if (board.updates === 0) return;
    const { utilization, target, backlog } = summary;
    if (utilization === undefined && backlog === undefined) return;
    const point: Point = {
      at: Date.now() / 1000,
      utilization: utilization ?? null,
      target: target ?? null,
      backlog: backlog ?? null,
    };
    setHistory((points) => {
      const before = isOther ? [] : points;
      const last = before.at(-1);
      const isDense = last !== undefined && point.at - last.at < SPACING_S;
      return [...(isDense ? before.slice(0, -1) : before), isDense ? { ...point, at: last.at } : point].slice(
        -POINTS_KEPT,
      );
    });
  }, [key, board, summary]);
  return history;
}
