import { readFileSync } from 'node:fs';
import { guardInUse } from '../../src/guard/releases.ts';

export const pinned = `guard/releases/${guardInUse().version}/guard.sh`;
const candidate = process.env.SAVEPOINT_CANDIDATE ?? 'guard/guard.sh';
const isReleased = readFileSync(candidate).equals(readFileSync(pinned));

type Named = readonly [name: string, file: string];

/** What the tests of a guard are run on. Once, when the candidate is the pinned guard. */
export const guards: readonly Named[] = [
  ['the pinned guard', pinned],
  ...(isReleased ? [] : [['the candidate', candidate] as const]),
];

/** Those of them that are no older; an older one is known to fail, and is never mended. */
export function guardsSince(version: string): readonly Named[] {
  return guards.filter(([, file]) => isSince(version, file));
}

/** Whether a guard, the pinned one unless it is named, is no older than a version. */
export function isSince(version: string, file = pinned): boolean {
  const own = /^VERSION=([0-9.]+)/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '0';
  return own.localeCompare(version, 'en', { numeric: true }) >= 0;
}
