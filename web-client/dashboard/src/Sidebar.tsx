import { useWebSocketContext } from '@orgcast/client/react';
import { type FormEvent, type ReactNode, useEffect, useMemo, useState } from 'react';

import type { Board } from './board.js';
import { demoPlaces } from './demo.js';
import { fetchPlaces, keyOf, type Place, toPlace, toTree } from './places.js';
import { server } from './settings.js';
import { Tree } from './Tree.js';

interface SidebarProps {
  isOpen: boolean;
  place: Place;
  go: (place: Place) => void;
  board: Board;
  isDemo: boolean;
  apiKey: string | undefined;
  /** Whether the API may answer without a key. */
  isApiOpen: boolean;
}

const REFRESH_MS = 10_000;

export function Sidebar({ isOpen, place, go, board, isDemo, apiKey, isApiOpen }: SidebarProps): ReactNode {
  const known = useKnownPlaces({ place, board, isDemo, apiKey, isApiOpen });
  const tree = useMemo(() => toTree(known), [known]);
  return (
    <aside id="places" className={isOpen ? 'open' : ''} aria-label="Places">
      <h2>Places</h2>
      <Tree nodes={tree} chosen={keyOf(place)} organization={place.organization_id} choose={go} />
      <ManualEntry place={place} go={go} />
    </aside>
  );
}

/** Of the server's rooms, of what was published, and of what was entered. Whatever was seen once stays. */
function useKnownPlaces({
  place,
  board,
  isDemo,
  apiKey,
  isApiOpen,
}: Omit<SidebarProps, 'isOpen' | 'go'>): readonly Place[] {
  const { isLive } = useWebSocketContext();
  const [places, setPlaces] = useState<ReadonlyMap<string, Place>>(new Map());
  useEffect(() => {
    if (!isLive || !(isApiOpen || apiKey !== undefined)) return;
    let isOver = false;
    let timer: ReturnType<typeof setInterval> | undefined;
    const end = () => {
      isOver = true;
      clearInterval(timer);
    };
    const refresh = () =>
      fetchPlaces(server, apiKey).then(
        (found) => {
          if (isOver) return;
          // Who does not tell will not tell later.
          if (found) setPlaces((before) => joined(before, found));
          else end();
        },
        () => {
          // The connection says already that the server is away.
        },
      );
    void refresh();
    timer = setInterval(refresh, REFRESH_MS);
    return end;
  }, [isLive, apiKey, isApiOpen]);
  useEffect(() => {
    setPlaces((before) => joined(before, [place, ...[...board.rows.values()].map((row) => row.place)]));
  }, [place, board]);
  const { organization_id } = place;
  useEffect(() => {
    if (isDemo) setPlaces((before) => joined(before, demoPlaces(organization_id)));
  }, [isDemo, organization_id]);
  return useMemo(() => [...places.values()], [places]);
}

function joined(before: ReadonlyMap<string, Place>, more: Place[]): ReadonlyMap<string, Place> {
  const missing = more.filter((place) => !before.has(keyOf(place)));
  return missing.length === 0
    ? before
    : new Map([...before, ...missing.map((place) => [keyOf(place), place] as const)]);
}

function ManualEntry({ place, go }: { place: Place; go: (place: Place) => void }): ReactNode {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const entered = toPlace(Object.fromEntries(new FormData(event.currentTarget)));
    if (entered) go(entered);
  };
  return (
    <form className="manual" onSubmit={submit} key={keyOf(place)}>
      <h3>Go to</h3>
      <label>
        Organization
        <input
          name="organization_id"
          required
          maxLength={128}
          defaultValue={place.organization_id}
          spellCheck={false}
        />
      </label>
      <label>
        Department <span>optional</span>
        <input name="department_id" maxLength={128} defaultValue={place.department_id} spellCheck={false} />
      </label>
      <label>
        Queue <span>optional</span>
        <input name="queue_name" maxLength={128} defaultValue={place.queue_name} spellCheck={false} />
      </label>
      <button type="submit">Show</button>
    </form>
  );
}
