import { type Filter, toPlace as said } from '@orgcast/client';

/** Where one can look: organizations, their departments, their queues. */
export interface Place {
  organization_id: string;
  department_id?: string;
  queue_name?: string;
}

export interface Node {
  key: string;
  label: string;
  level: 1 | 2 | 3;
  place: Place;
  children: Node[];
}

const LEVELS = ['organization_id', 'department_id', 'queue_name'] as const;

export function keyOf(place: Place): string {
  return JSON.stringify(LEVELS.map((level) => place[level] ?? null));
}

/** The keys of all places that something at a place is also in, but its own. */
export function keysAbove(place: Place): string[] {
  const { organization_id, department_id, queue_name } = place;
  const above: Place[] = [];
  if (department_id !== undefined || queue_name !== undefined) above.push({ organization_id });
  if (department_id !== undefined && queue_name !== undefined) {
    above.push({ organization_id, department_id }, { organization_id, queue_name });
  }
  return above.map(keyOf);
}

/** Only the ids, and of those only the ones that are there. */
export function toPlace(from: {
  organization_id?: unknown;
  department_id?: unknown;
  queue_name?: unknown;
}): Place | undefined {
  const place: Partial<Place> = {};
  for (const level of LEVELS) {
    const id = from[level];
    if (typeof id === 'string' && id !== '') place[level] = id;
  }
  return place.organization_id === undefined ? undefined : (place as Place);
}

export function label(place: Place): string {
  return LEVELS.map((level) => place[level])
    .filter((id) => id !== undefined)
    .join(' › ');
}

/** A short name for a place seen from one above it. */
export function labelWithin(place: Place, above: Place): string {
  const own = LEVELS.filter((level) => place[level] !== above[level]).map((level) => place[level]);
  return own.filter((id) => id !== undefined).join(' › ') || 'Here';
}

export function isWithin(place: Place, above: Place): boolean {
  return LEVELS.every((level) => above[level] === undefined || above[level] === place[level]);
}

/** The tree of some places and of everything above them. */
export function toTree(places: Iterable<Place>): Node[] {
  const roots: Node[] = [];
  const add = (siblings: Node[], place: Place, name: string, level: Node['level']): Node => {
    const key = keyOf(place);
    const known = siblings.find((node) => node.key === key);
    if (known) return known;
    const node: Node = { key, label: name, level, place, children: [] };
    siblings.push(node);
    siblings.sort((a, b) => a.label.localeCompare(b.label));
    return node;
  };
  for (const place of places) {
    const { organization_id, department_id, queue_name } = place;
    let node = add(roots, { organization_id }, organization_id, 1);
    if (department_id !== undefined) {
      node = add(node.children, { organization_id, department_id }, department_id, 2);
    }
    if (queue_name !== undefined) add(node.children, place, queue_name, department_id === undefined ? 2 : 3);
  }
  return roots;
}

/**
 * Where a payload belongs that was heard at a place. One that names its organization says all; another one need not
 * repeat the ids that it was sent to, and those are as they are here.
 */
export function placeOf(payload: object | null, heardAt: Place): Place {
  const { organization_id, ...beneath } = said(payload as Filter);
  return organization_id === undefined ? { ...heardAt, ...beneath } : { organization_id, ...beneath };
}

export function keyHeader(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { 'X-API-Key': apiKey };
}

/** The places of the rooms that the server has; `undefined` if it does not tell. */
export async function fetchPlaces(server: string, apiKey: string | undefined): Promise<Place[] | undefined> {
  const response = await fetch(`${server}/api/ws/rooms?limit=10000`, { headers: keyHeader(apiKey) });
  if (response.status === 401 || response.status === 403) return undefined;
  if (!response.ok) return [];
  const { rooms } = (await response.json()) as { rooms: Record<string, unknown>[] };
  return rooms.map((room) => toPlace(room)).filter((place) => place !== undefined);
}
