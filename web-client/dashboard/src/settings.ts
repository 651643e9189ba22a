import { useCallback, useState } from 'react';

import { type Place, toPlace } from './places.js';

const query = new URLSearchParams(location.search);

/** Another server than the one that serves this page, without a slash at the end. */
export const server = (query.get('server') ?? location.origin).replace(/\/$/, '');

/** Where it lets clients in, if not at its default. */
export const path = query.get('path') ?? '/ws';

/** The organization of the example that the server prints when it starts. */
const FIRST: Place = { organization_id: 'org_123' };

/** The same person in every tab. */
export const userId = (() => {
  const made = `viewer-${Math.random().toString(36).slice(2, 8)}`;
  try {
    const known = localStorage.getItem('orgcast.viewer') ?? made;
    localStorage.setItem('orgcast.viewer', known);
    return known;
  } catch {
    return made;
  }
})();

/** The place in view, kept in the address so that it can be shared. */
export function usePlace(): [Place, (place: Place) => void] {
  const [place, setPlace] = useState(() => toPlace(Object.fromEntries(query)) ?? FIRST);
  const go = useCallback((to: Place) => {
    const url = new URL(location.href);
    for (const level of ['organization_id', 'department_id', 'queue_name'] as const) {
      const id = to[level];
      if (id === undefined) url.searchParams.delete(level);
      else url.searchParams.set(level, id);
    }
    history.replaceState(null, '', url);
    setPlace(to);
  }, []);
  return [place, go];
}
