import { readFileSync } from 'node:fs';
import { SavepointError, sentenceOf } from '../errors.ts';
import { digestOf, type Guard } from '../guard/releases.ts';
import type { HostShell } from '../host/shell.ts';
import type { Abilities } from './abilities.ts';
import type { Protection } from './protection.ts';
import { type Check, rehearse } from './rehearse.ts';

/** What a rehearsal found. */
export interface Report {
  guard: { version: string; sha256: string };
  /** What the host can do, as far as a guard cares. */
  host: Record<string, string>;
  /** What of the host itself was protected meanwhile. */
  protected: string;
  checks: Check[];
  held: boolean;
}

/**
 * A guard that is not released: the candidate, or any other file.
 * @throws SavepointError `bad-usage` for a file that is no guard.
 */
export function guardFromFile(file: string): Guard {
  const refuse = (message: string, cause?: unknown) =>
    new SavepointError('bad-usage', {
      message,
      place: { field: 'FILE' },
      details: { found: file, allowed: 'a guard, such as guard/guard.sh' },
      cause,
    });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw refuse(`The guard cannot be read: ${sentenceOf(error)}`, error);
  }
  const version = guardVersion(text);
  if (!version) throw refuse('The file names no version of a guard.');
  return { version, sha256: digestOf(text), text };
}

/** What a guard says of itself: `VERSION=1.0.0` at the beginning of a line. */
export function guardVersion(text: string): string | undefined {
  return /^VERSION=([0-9]+\.[0-9]+\.[0-9]+)(?:\s|$)/m.exec(text)?.[1];
}

/**
 * Rehearses a guard on a host, below a scratch root that is gone afterwards.
 * @param on is told everything as it comes.
 */
export async function checkGuard(
  shell: HostShell,
  guard: Guard,
  { points, protection }: { points: number; protection: Protection },
  on: (found: Check | Abilities) => void,
): Promise<Report> {
  const checks: Check[] = [];
  let abilities: Abilities | undefined;
  const tell = (found: Check | Abilities) => {
    if ('held' in found) checks.push(found);
    else abilities = found;
    on(found);
  };
  const root = (await shell.run('mktemp -d "${TMPDIR:-/var/tmp}/savepoint-check.XXXXXXXX"')).trim();
  try {
    const site = { host: shell.host, guard, root, sudo: shell.sudo };
    for await (const found of rehearse(shell, site, points)) tell(found);
  } finally {
    // A watchdog that is still there ends with its transaction's folder.
    await shell.run('rm -rf "$1"', [root]);
    const untouched = await protection.end();
    if (untouched) tell(untouched);
  }
  return {
    guard: { version: guard.version, sha256: guard.sha256 },
    host: Object.fromEntries(abilities?.found ?? []),
    protected: protection.about,
    checks,
    held: checks.every(({ held }) => held),
  };
}
