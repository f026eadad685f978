import { readFileSync } from 'node:fs';
import { brokenNow, notNew, notOld, stateLeft } from './invariant.ts';
import type { Life } from './life.ts';
import type { Scenario } from './scenarios.ts';
import type { Tally } from './tally.ts';

/** Of a long list of differences the first are enough to find the cause. */
const shownProblems = 12;
const shownCalls = 12;

/** What is wrong at the instant of a crash. */
export function judgeNow(life: Life): string[] {
  return brokenNow(life.look(), life.versions);
}

/**
 * What is wrong once the host has recovered. `acknowledged` says that a controller was told
 * `committed`: then there is no way back.
 */
export function judgeEnd(life: Life, ends: Scenario['ends'], acknowledged: boolean): string[] {
  const now = life.look();
  const old = notOld(now, life.versions);
  const fresh = notNew(now, life.versions);
  const committed = life.decision().startsWith('commit ');
  const left = stateLeft(life.guard.state);
  if (ends === 'old') return [...old, ...left];
  if (ends === 'new' || acknowledged) return [...fresh, ...left];
  if (old.length > 0 && fresh.length > 0) return ['a mixture of old and new:', ...old, ...left];
  const told = committed ? fresh : old;
  return told.length > 0
    ? [`the decision was ${committed ? 'commit' : 'rollback'}, but:`, ...told, ...left]
    : left;
}

/** Notes a violation when there are problems; `trace` is the tracer's log of the crash. */
export function note(tally: Tally, where: string, problems: string[], trace: string): void {
  if (problems.length === 0) return;
  const more = problems.length - shownProblems;
  tally.violations.push({
    where,
    problems: [...problems.slice(0, shownProblems), ...(more > 0 ? [`and ${more} more`] : [])],
    trace: trace
      .replaceAll(/\/\S*?\/ground\/root/g, '')
      .split('\n')
      .filter(Boolean)
      .slice(-shownCalls),
  });
}

/** The tracer's log of the last step, as far as a point when one is given. */
export function readLog(life: Life, upTo = Number.POSITIVE_INFINITY): string {
  const lines = readFileSync(life.log, 'latin1').split('\n');
  return lines.slice(0, Math.min(lines.length, upTo)).join('\n');
}
