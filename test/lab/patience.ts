import { vi } from 'vitest';

/** Milliseconds that nothing in the lab takes: limits only turn waiting forever into a failure. */
export const patience = 120_000;

/** How `vi.waitFor` waits for a fact on a machine, however busy it is. */
export const eventually = { timeout: patience, interval: 50 };

/** Gives every test and hook of a file the time that a busy machine may need. */
export function bePatient(): void {
  vi.setConfig({ testTimeout: 4 * patience, hookTimeout: 8 * patience });
}
