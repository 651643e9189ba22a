/** How numbers and times are written, everywhere on the page alike. */

export function format(value: number | undefined, digits = 0): string {
  if (value === undefined) return '–';
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const;

/** The time of the day, like 13:45:02. */
export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString('en', CLOCK);
}
