import { judgeEnd, judgeNow, note, readLog } from './judge.ts';
import type { Life, Step } from './life.ts';
import { powerOff } from './power.ts';
import type { Scenario } from './scenarios.ts';
import { emptyTally, pointsOf, type Share, type Tally } from './tally.ts';

export const faults = ['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'EIO', 'EIO-READ'] as const;
export type Fault = (typeof faults)[number];

/** Steps of a controller, who is told what became of them. */
const answers: readonly Step[] = ['begin', 'apply', 'commit', 'rollback'];

const shellReads = /^\d+\t\d+\t(sh|dash|bash|mksh|busybox)\t/;

/** A shell that cannot open the guard runs none: there is nobody to answer. */
const opensGuard = /\/guard\/[0-9a-f]{64}\/guard$/;

export interface FaultPlan extends Share {
  fault: Fault;
  /** From the point on every call fails that can, instead of the one. */
  lasting: boolean;
}

/**
 * A shell that can make no pipe any more, or read no more of its script, ends where it is; one that can
 * list no directory cannot see who holds the lock, and waits LOCK_WAIT for it, longer than the tracer does.
 */
function isMute({ fault, lasting }: FaultPlan): boolean {
  return lasting && (fault === 'EMFILE' || fault === 'EIO-READ');
}

/**
 * The fault sweep: a call of a step fails. Whatever the guard then says has to be true: after
 * `ok` the power is cut at once, so that a failed fsync that was overlooked shows. After an error
 * the fault is gone and the host recovers.
 */
export function faultSweep(life: Life, scenario: Scenario, plan: FaultPlan): Tally {
  const tally = emptyTally();
  life.startAfter(scenario.before);
  const whole = life.perform(scenario.interrupted, { mode: ['count', plan.fault] });
  const options = plan.lasting ? ['--persist'] : [];
  if (plan.part === 0) tally.all = whole.points;
  // A shell's `read` takes a failed read for the end of the file, whatever the script does; what it
  // reads are lists that this very guard wrote a moment ago.
  const log = readLog(life)
    .split('\n')
    .filter((line) => !opensGuard.test(line));
  const points = plan.fault === 'EIO-READ' ? log.filter((line) => !shellReads.test(line)) : log;
  for (const point of pointsOf(points.join('\n'), plan)) {
    if (plan.stopAtFirst && tally.violations.length > 0) break;
    const where = `${scenario.name}, ${plan.fault} ${plan.lasting ? 'from' : 'at'} ${point} of ${whole.points}`;
    life.startAfter(scenario.before);
    const hit = life.perform(scenario.interrupted, {
      mode: ['fault', String(point), plan.fault],
      options,
    });
    if (!hit.reached) continue;
    const trace = readLog(life, point);
    const { ok, head, status, error } = hit.answer;
    // Read from the host: a watchdog has nobody to answer.
    const gaveUp = life.outcome() === 'rollback-failed';
    tally.points++;
    tally.runs++;
    const mute = isMute(plan);
    // It tries three times, so one call that fails is no reason to give up.
    if (gaveUp && !plan.lasting)
      note(tally, where, ['gave up for a fault that did not last'], trace);
    if (status === 124 && !mute) note(tally, where, ['the guard hangs'], trace);
    else if (!ok && !error && answers.includes(scenario.interrupted) && !mute) {
      note(tally, where, [`no answer of the protocol, status ${status}`], trace);
    }
    const said = ok ? 'ok' : `error ${error ?? `without a name, status ${status}`}`;
    note(tally, `${where} (${said})`, judgeNow(life), trace);
    tally.notes[said] = (tally.notes[said] ?? 0) + 1;
    if (ok) {
      powerOff(life.ground.powerCut(false));
      life.ground.powerOn();
    }
    life.perform('reboot');
    life.perform('boot', 'untraced');
    const committed = ok && head.includes('outcome committed');
    const rolledBack = ok && head.includes('outcome rolled-back');
    const ends = rolledBack ? 'old' : scenario.ends;
    const problems = judgeEnd(life, ends, committed);
    // A host that could not roll back under the fault stays closed until a person has looked.
    const open = gaveUp ? problems.filter((p) => p !== 'state: quarantine is there') : problems;
    note(tally, `${where} (${said}), recovered`, open, trace);
  }
  return tally;
}
