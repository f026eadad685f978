import { spawnSync } from 'node:child_process';
import { judgeEnd, judgeNow, note, readLog } from './judge.ts';
import { jobWrites, type Life } from './life.ts';
import type { Scenario } from './scenarios.ts';
import { emptyTally, pointsOf, type Share, type Tally } from './tally.ts';

/**
 * The power-loss sweep: the file system is shut down under the guard in front of each changing call
 * of a step, with its log not flushed, so that what nobody synced is gone. Nothing in the whole life
 * before that was synced by anyone but the guard. Each point is tried twice: as it is, and after an
 * unrelated fsync, which commits the journal: names then survive whose data does not.
 */
export function powerSweep(life: Life, scenario: Scenario, plan: Share): Tally {
  const tally = emptyTally();
  life.liveThrough(scenario.before);
  const whole = life.perform(scenario.interrupted);
  if (plan.part === 0) tally.all = whole.points + 1;
  const points = pointsOf(readLog(life), plan);
  // One point more: the power fails right after the answer.
  if (plan.part === 0) points.push(whole.points + 1);
  for (const point of points) {
    if (plan.stopAtFirst && tally.violations.length > 0) break;
    for (const commitFirst of [false, true]) {
      const where = `${scenario.name}, power cut at ${point} of ${whole.points}${commitFirst ? ' after a journal commit' : ''}`;
      life.liveThrough(scenario.before);
      const cut = life.ground.powerCut(commitFirst);
      const mode = point > whole.points ? ['count'] : ['stop', String(point), cut];
      const crash = life.perform(scenario.interrupted, { mode });
      if (point > whole.points || !crash.reached) powerOff(cut);
      const trace = readLog(life);
      const acknowledged = crash.answer.head.includes('outcome committed');
      life.ground.powerOn();
      tally.points++;
      tally.runs++;
      const now = judgeNow(life).filter((p) => !jobWrites.some((path) => p.startsWith(`${path}:`)));
      note(tally, where, now, trace);
      life.perform('reboot');
      life.perform('boot', 'untraced');
      note(tally, `${where}, booted`, judgeEnd(life, scenario.ends, acknowledged), trace);
    }
  }
  return tally;
}

export function powerOff(program: string): void {
  const run = spawnSync('sh', ['-c', program], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`power cut: ${run.stderr}`);
}
