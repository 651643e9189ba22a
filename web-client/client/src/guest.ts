let guestId: string | undefined;

/** A user id for pages that name an organization alone; the same as long as the page lives. */
export function guest(): string {
  guestId ??= `guest-${Math.random().toString(36).slice(2, 10)}`;
  return guestId;
}
