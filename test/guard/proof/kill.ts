import { judgeEnd, judgeNow, note, readLog } from './judge.ts';
import type { Life, Step } from './life.ts';
import { type Recovery, recoveries, type Scenario } from './scenarios.ts';
import { emptyTally, pointsOf, random, type Share, type Tally } from './tally.ts';

export interface KillPlan extends Share {
  /** Recover by both ways at each point, instead of by turns. */
  bothWays: boolean;
  /** At every so manyth point the recovery is killed too, at a point by lot; 0 for never. */
  again: number;
}

/**
 * The kill sweep: the guard and all its children are killed in front of each changing call of a
 * step; the state is judged as it is then, and again after the host has recovered.
 */
export function killSweep(life: Life, scenario: Scenario, plan: KillPlan): Tally {
  const tally = emptyTally();
  const roll = random(plan.seed);
  life.startAfter(scenario.before);
  const whole = life.perform(scenario.interrupted);
  const log = readLog(life);
  const fine = undisturbed(life, scenario, whole.answer.status);
  note(tally, `${scenario.name}, undisturbed`, fine, log);
  const ways: Recovery[] = ['watchdog', 'boot'];
  if (plan.part === 0) tally.all = whole.points;
  const points = pointsOf(log, plan);
  for (const [index, point] of points.entries()) {
    if (plan.stopAtFirst && tally.violations.length > 0) break;
    const where = `${scenario.name}, killed at ${point} of ${whole.points}`;
    life.startAfter(scenario.before);
    const crash = life.perform(scenario.interrupted, { mode: ['kill', String(point)] });
    if (!crash.reached) continue; // pids and sleeps make a run a little shorter now and then
    const trace = readLog(life);
    tally.points++;
    note(tally, where, judgeNow(life), trace);
    const turn = ways[index % 2] ?? 'boot';
    const again = plan.again > 0 && index % plan.again === 0;
    const chosen = plan.bothWays ? ways : [turn];
    // Keeping a disk costs as much as a small step: only where the crash is come back to.
    if (chosen.length > 1 || again) life.keep('crash');
    for (const [nth, way] of chosen.entries()) {
      if (nth > 0) life.restore('crash');
      recover(life, scenario, way);
      tally.runs++;
      note(tally, `${where}, recovered by ${way}`, judgeEnd(life, scenario.ends, false), trace);
    }
    if (again) killAgain(life, scenario, turn, where, roll(), tally, trace);
  }
  life.ground.forget('crash');
  return tally;
}

/** Kills the recovery from the kept crash too, at a point by lot (`share`, 0 to 1); the other way of recovering then has to cope. */
function killAgain(
  life: Life,
  scenario: Scenario,
  way: Recovery,
  where: string,
  share: number,
  tally: Tally,
  trace: string,
): void {
  life.restore('crash');
  const count = recover(life, scenario, way);
  if (count === 0) return;
  const point = 1 + Math.floor(share * count);
  life.restore('crash');
  recover(life, scenario, way, point);
  const second = `${where}; recovery by ${way} killed at ${point} of ${count}`;
  const both = `${trace}--- recovery ---\n${readLog(life)}`;
  tally.points++;
  tally.runs++;
  note(tally, second, judgeNow(life), both);
  recover(life, scenario, way === 'boot' ? 'watchdog' : 'boot');
  note(tally, `${second}; recovered`, judgeEnd(life, scenario.ends, false), both);
}

/** Lets the host recover, or be killed in it; gives the number of points of the recovery. */
export function recover(life: Life, scenario: Scenario, way: Recovery, killAt?: number): number {
  const steps: Step[] = [...recoveries[way]];
  if (scenario.interrupted === 'next begin' && way === 'watchdog') steps.push('next watchdog');
  let points = 0;
  for (const step of steps) {
    const mode = killAt === undefined ? ['count'] : ['kill', String(killAt)];
    const done = life.perform(step, { mode });
    points ||= done.points;
    if (killAt !== undefined && done.reached) break;
  }
  return points;
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
