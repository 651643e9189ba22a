export type Id = string | number;

/** The place that a subscription watches, under any of the names that the server knows. */
export interface Filter {
  organization_id?: Id | undefined;
  organizationId?: Id | undefined;
  company_id?: Id | undefined;
  companyId?: Id | undefined;
  tenant_id?: Id | undefined;
  tenantId?: Id | undefined;
  store_id?: Id | undefined;
  storeId?: Id | undefined;
  department_id?: Id | undefined;
  departmentId?: Id | undefined;
  queue_name?: Id | undefined;
  queueName?: Id | undefined;
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
  'company_id',
  'companyId',
  'tenant_id',
  'tenantId',
  'store_id',
  'storeId',
] as const satisfies (keyof Filter)[];

const NAMES: [keyof Place, readonly (keyof Filter)[]][] = [
  ['organization_id', ORGANIZATION],
  ['department_id', ['department_id', 'departmentId']],
  ['queue_name', ['queue_name', 'queueName']],
];

/** The canonical form; empty and absent ids are the same. Members come in a fixed order, so equal places print equal. */
export function toPlace(filter: Filter | null | undefined): Place {
  const place: Place = {};
  for (const [name, aliases] of NAMES) {
    for (const alias of aliases) {
      const id = filter?.[alias];
      if (id !== undefined && id !== null && id !== '') {
        place[name] = String(id);
        break;
      }
    }
  }
  return place;
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
