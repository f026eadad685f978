import { type Shell, shells } from '../guard.ts';
import { faults } from './faults.ts';
import { type FileSystem, fileSystems } from './ground.ts';
import type { KillPlan } from './kill.ts';
import { raceNames } from './races.ts';
import { sizes } from './scale.ts';
import { scenarios } from './scenarios.ts';
import type { Task } from './task.ts';

/** What the command line may narrow a run to. */
export interface Choice {
  guard: string;
  seed: number;
  sweeps: readonly Task['sweep'][];
  shells: readonly Shell[];
  fileSystems: readonly FileSystem[];
  scenarios: readonly string[];
}

export const sweepNames = ['kill', 'power', 'fault', 'full disk', 'race', 'scale'] as const;
const everyShell = Object.keys(shells) as Shell[];
const faulty = ['begin', 'apply', 'commit', 'rollback', 'watchdog'];

/**
 * The whole proof. dash tries every call that touches more than the guard's scratch files, with
 * both ways of recovering and kills inside the recovery; the other shells, which read the same
 * script, take turns. Parts keep a worker busy for a minute or two.
 */
export function wholePlan(choice: Choice, thinner?: Partial<KillPlan>): Task[] {
  const { guard, seed } = choice;
  const tasks: Task[] = [];
  for (const { name: scenario } of scenarios) {
    for (const shell of everyShell) {
      for (const fs of ['ext4', 'xfs'] as const) {
        const thorough = shell === 'dash' && fs === 'ext4';
        const parts = thorough ? 8 : 3;
        const often = thorough
          ? { thin: 8, bothWays: true, again: 3, everywhereAgain: 40 }
          : { thin: 40, bothWays: false, again: 8, everywhereAgain: 0 };
        if (shell !== 'dash' && fs === 'xfs') continue;
        for (let part = 0; part < parts; part++) {
          tasks.push({
            sweep: 'kill',
            guard,
            shell,
            fs,
            scenario,
            plan: { part, parts, seed, ...often },
          });
        }
      }
    }
    for (const fs of fileSystems) {
      for (let part = 0; part < 3; part++) {
        const plan = { part, parts: 3, seed, thin: 40 };
        tasks.push({ sweep: 'power', guard, shell: 'dash', fs, scenario, plan });
      }
    }
    for (const shell of ['bash', 'busybox', 'mksh'] as const) {
      const plan = { part: 0, parts: 1, seed, thin: 40, sample: 15 };
      tasks.push({ sweep: 'power', guard, shell, fs: 'xfs', scenario, plan });
    }
    if (!faulty.includes(scenario)) continue;
    for (const fault of faults) {
      for (const lasting of [false, true]) {
        const plan = { part: 0, parts: 1, seed, thin: 10, sample: 60, fault, lasting };
        tasks.push({ sweep: 'fault', guard, shell: 'dash', fs: 'ext4', scenario, plan });
      }
    }
    const plan = { seed, sample: 60 };
    tasks.push({ sweep: 'full disk', guard, shell: 'dash', fs: 'ext4', scenario, plan });
  }
  for (const scenario of raceNames) {
    for (const shell of everyShell) {
      const plan = { times: shell === 'dash' ? 150 : 50, seed };
      tasks.push({ sweep: 'race', guard, shell, fs: 'ext4', scenario, plan });
    }
  }
  const own = tasks.filter((task) => chosen(task, choice));
  return (thinner ? own.flatMap((task) => thinned(task, thinner)) : own).concat(scalePlan(choice));
}

function thinned(task: Task, thinner: Partial<KillPlan>): Task[] {
  if (task.sweep === 'race' || task.sweep === 'scale') return [task];
  if ('part' in task.plan && task.plan.part !== 0) return [];
  return [{ ...task, plan: { ...task.plan, ...thinner } } as Task];
}

/** A seeded sample of everything but the scale, for the normal suite: about a minute on two cores. */
export function samplePlan(choice: Choice): Task[] {
  const { guard, seed } = choice;
  const tasks: Task[] = [];
  const some = { part: 0, parts: 1, seed, thin: 20 };
  const turn = <T>(list: readonly T[], index: number) => list[(index + seed) % list.length] as T;
  for (const [index, { name: scenario }] of scenarios.entries()) {
    const shell = turn(everyShell, index);
    const kill = { ...some, sample: 3, bothWays: false, again: 3, everywhereAgain: 0 };
    tasks.push({ sweep: 'kill', guard, shell, fs: 'ext4', scenario, plan: kill });
    if ((index + seed) % 2 === 0) {
      const fs = turn(fileSystems, index >> 1);
      const plan = { ...some, sample: 3 };
      tasks.push({ sweep: 'power', guard, shell: 'dash', fs, scenario, plan });
    }
    if (!faulty.includes(scenario)) continue;
    const plan = { ...some, sample: 4, fault: turn(faults, index), lasting: index % 2 === 0 };
    tasks.push({ sweep: 'fault', guard, shell: 'dash', fs: 'ext4', scenario, plan });
  }
  for (const scenario of [turn(raceNames, 0), turn(raceNames, 1)]) {
    const plan = { times: 4, seed };
    tasks.push({ sweep: 'race', guard, shell: 'dash', fs: 'ext4', scenario, plan });
  }
  return tasks.filter((task) => chosen(task, choice));
}

/** To be run by one worker alone, or the times mean nothing. */
function scalePlan(choice: Choice): Task[] {
  if (!choice.sweeps.includes('scale')) return [];
  return sizes.map((size) => ({
    sweep: 'scale',
    guard: choice.guard,
    shell: 'dash',
    fs: 'ext4',
    scenario: String(size),
  }));
}

function chosen(task: Task, choice: Choice): boolean {
  return (
    choice.sweeps.includes(task.sweep) &&
    choice.shells.includes(task.shell) &&
    choice.fileSystems.includes(task.fs) &&
    (choice.scenarios.length === 0 || choice.scenarios.includes(task.scenario))
  );
}
