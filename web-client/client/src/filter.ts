import { OrgcastError } from './errors.js';
import { checkNames } from './names.js';

export type Id = string | number;

/** The place that a subscription watches, under any of the names that the server knows. */
export interface Filter {
  organization_id?: Id | undefined;
  organizationId?: Id | undefined;
  org_id?: Id | undefined;
  orgId?: Id | undefined;
  company_id?: Id | undefined;
  companyId?: Id | undefined;
  tenant_id?: Id | undefined;
  tenantId?: Id | undefined;
  store_id?: Id | undefined;
  storeId?: Id | undefined;
  department_id?: Id | undefined;
  departmentId?: Id | undefined;
  dept_id?: Id | undefined;
  deptId?: Id | undefined;
  queue_name?: Id | undefined;
  queueName?: Id | undefined;
  queue?: Id | undefined;
}

/** A filter under its canonical names. */
export interface Place {
  organization_id?: string;
  department_id?: string;
  queue_name?: string;
}

/** The names of the organization. */
export const ORGANIZATION = [
  'organization_id',
  'organizationId',
  'org_id',
  'orgId',
  'company_id',
  'companyId',
  'tenant_id',
  'tenantId',
  'store_id',
  'storeId',
] as const satisfies (keyof Filter)[];

const NAMES = [
  ['organization_id', ORGANIZATION],
  ['department_id', ['department_id', 'departmentId', 'dept_id', 'deptId']],
  ['queue_name', ['queue_name', 'queueName', 'queue']],
] as const satisfies [keyof Place, readonly (keyof Filter)[]][];

/** Every name that a filter may have a member of. */
export const FILTER_NAMES: readonly (keyof Filter)[] = /* @__PURE__ */ NAMES.flatMap(([, aliases]) => [...aliases]);

/** The canonical form; empty and absent ids are the same. Members come in a fixed order, so equal places print equal. */
export function toPlace(filter: Filter | null | undefined): Place {
  const place: Place = {};
  for (const [name, aliases] of NAMES) {
    const id = aliases.map((alias) => filter?.[alias]).find((it) => isId(it) && it !== '');
    if (id !== undefined) place[name] = String(id);
  }
  return place;
}

/** Throws for a filter that would hear more than it says: one with a member that is no name, or no id. */
export function checkFilter(what: string, filter: Filter | null | undefined, also: readonly string[] = []): void {
  checkNames(what, filter, [...new Set([...FILTER_NAMES, ...also])]);
  for (const name of FILTER_NAMES) {
    const id = filter?.[name];
    if (id !== undefined && id !== null && !isId(id)) {
      throw new OrgcastError('INVALID_ARGUMENT', `${what}: \`${name}\` must be text or a number, not ${typeof id}`);
    }
  }
}

/** Payloads may have anything under these names. */
function isId(value: unknown): value is Id {
  return typeof value === 'string' || typeof value === 'number';
}

/**
 * Whether something that says where it belongs belongs to `place`. Who says nothing about a level may be anywhere on
 * it: payloads need not repeat the ids that they were sent to.
 */
export function isAt(place: Place, subject: unknown): boolean {
  if (typeof subject !== 'object' || subject === null) return true;
  const at = toPlace(subject as Filter);
  return NAMES.every(([name]) => place[name] === undefined || at[name] === undefined || place[name] === at[name]);
}
