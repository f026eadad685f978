/** Where a host keeps what makes it pin its guard. All of it is root's. */
export const places = {
  /** The guard's state, as guard.sh itself decides it for root. */
  state: '/var/lib/savepoint',
  policy: '/var/lib/savepoint/policy',
  sudoers: '/etc/sudoers.d/savepoint',
  /** Where the CI user can reach it, unlike the state. */
  gate: '/usr/local/lib/savepoint/gate',
} as const;

/** Where a guard is installed. */
export function guardPlace(sha256: string): string {
  return `${places.state}/guard/${sha256}/guard`;
}
