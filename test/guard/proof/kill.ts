import { judgeEnd, judgeNow, note, readLog } from './judge.ts';
import type { Life, Step } from './life.ts';
import { type Recovery, recoveries, type Scenario } from './scenarios.ts';
import { emptyTally, pointsOf, random, type Share, type Tally } from './tally.ts';

export interface KillPlan extends Share {
  /** Recover by both ways at each point, instead of by turns. */
  bothWays: boolean;
  /** The recovery of one crash in so many is killed too, at a point by lot; 0 for none. */
  again: number;
}

/**
 * The kill sweep: the guard and all its children are killed in front of each changing call of a
 * step; the state is judged as it is then, and again after the host has recovered.
 */
export function killSweep(life: Life, scenario: Scenario, plan: KillPlan): Tally {
  const tally = emptyTally();
  const roll = random(plan.seed + plan.part);
  life.startAfter(scenario.before);
  const whole = life.perform(scenario.interrupted);
  const log = readLog(life);
  const fine = undisturbed(life, scenario, whole.answer.status);
  note(tally, `${scenario.name}, undisturbed`, fine, log);
  const ways: Recovery[] = ['watchdog', 'boot'];
  if (plan.part === 0) tally.all = whole.points;
  // How long a recovery is depends on the crash: one that ended before it was killed tells about
  // how long the next will be.
  let length = Math.ceil(1.5 * whole.points);
  for (const [index, point] of pointsOf(log, plan).entries()) {
    if (plan.stopAtFirst && tally.violations.length > 0) break;
    const where = `${scenario.name}, killed at ${point} of ${whole.points}`;
    life.startAfter(scenario.before);
    const crash = life.perform(scenario.interrupted, { mode: ['kill', String(point)] });
    if (!crash.reached) continue; // pids and sleeps make a run a little shorter now and then
    const trace = readLog(life);
    tally.points++;
    note(tally, where, judgeNow(life), trace);
    const chosen = plan.bothWays ? ways : [ways[index % 2] ?? 'boot'];
    if (chosen.length > 1) life.keep('crash');
    for (const [nth, way] of chosen.entries()) {
      if (nth > 0) life.restore('crash');
      const again = plan.again > 0 && roll() < 1 / plan.again;
      const killAt = again ? 1 + Math.floor(roll() * length) : undefined;
      const { points, killed } = recover(life, scenario, way, killAt);
      tally.runs++;
      if (!killed) {
        length = points || length;
        note(tally, `${where}, recovered by ${way}`, judgeEnd(life, scenario.ends, false), trace);
        continue;
      }
      tally.points++;
      const second = `${where}; recovery by ${way} killed at ${killAt}`;
      const both = `${trace}--- recovery ---\n${readLog(life)}`;
      note(tally, second, judgeNow(life), both);
      // The other way has to cope with what is left of the first.
      recover(life, scenario, way === 'boot' ? 'watchdog' : 'boot');
      note(tally, `${second}; recovered`, judgeEnd(life, scenario.ends, false), both);
    }
  }
  life.ground.forget('crash');
  return tally;
}

/** Lets the host recover, or be killed in it: how many points it had, and whether that came to pass. */
function recover(
  life: Life,
  scenario: Scenario,
  way: Recovery,
  killAt?: number,
): { points: number; killed: boolean } {
  const steps: Step[] = [...recoveries[way]];
  if (scenario.interrupted === 'next begin' && way === 'watchdog') steps.push('next watchdog');
  let points = 0;
  for (const step of steps) {
    const trace = killAt === undefined ? 'untraced' : { mode: ['kill', String(killAt)] };
    const done = life.perform(step, trace);
    points ||= done.points;
    if (killAt !== undefined && done.reached) return { points, killed: true };
  }
  return { points, killed: false };
}

/** A step that nobody disturbs has to succeed and to end as it should, or the sweep means nothing. */
function undisturbed(life: Life, scenario: Scenario, status: number): string[] {
  if (status !== 0) return [`status ${status}`];
  if (scenario.interrupted === 'begin' || scenario.interrupted === 'next begin') {
    return judgeNow(life);
  }
  if (scenario.interrupted === 'apply') return judgeNow(life);
  return judgeEnd(life, scenario.interrupted === 'commit' ? 'new' : scenario.ends, false);
}
