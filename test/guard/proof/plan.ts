import { type Shell, shells } from '../guard.ts';
import { faults } from './faults.ts';
import { type FileSystem, fileSystems } from './ground.ts';
import type { KillPlan } from './kill.ts';
import { raceNames } from './races.ts';
import { sizes } from './scale.ts';
import { scenarios } from './scenarios.ts';
import type { Share } from './tally.ts';
import type { Task } from './task.ts';

/** What the command line may narrow a run to. */
export interface Choice {
  guard: string;
  seed: number;
  sweeps: readonly Task['sweep'][];
  shells: readonly Shell[];
  fileSystems: readonly FileSystem[];
  scenarios: readonly string[];
  /** Every call of every step, and within every recovery. Days instead of hours. */
  every?: boolean;
}

export const sweepNames = ['kill', 'power', 'fault', 'full disk', 'race', 'scale'] as const;
const everyShell = Object.keys(shells) as Shell[];
const faulty = ['begin', 'apply', 'commit', 'rollback', 'watchdog'];

const verbs = ['begin', 'apply', 'commit', 'rollback'];
/** Steps that are killed at every call; the others are made of the same functions. */
const main = [...verbs, 'recover'];
/** Verbs that lay out what has to be found again. */
const staging = ['begin', 'apply'];

/**
 * The whole proof: an hour and a half on two cores, in as many pieces as one likes (--journal). In the verbs
 * and in `recover` dash is killed at every call, in begin and apply bash, busybox and mksh are too, and then
 * every fourth or second recovery at a point by lot; both ways of recovering are tried by turns, in begin,
 * where all that protects a host has to become durable, by dash both after each call. In begin and commit,
 * which promise what a power cut leaves, the power is cut at every call on ext4, in begin on xfs too. Of the
 * calls on the guard's scratch files one in six is tried, of those on the reserve's empty files, all alike,
 * one in forty. All else are samples that the seed draws. Parts keep a worker busy for some minutes.
 */
export function wholePlan(choice: Choice, thinner?: Partial<KillPlan>): Task[] {
  const tasks = scenarios.flatMap(({ name }) => [
    ...killTasks(choice, name),
    ...powerTasks(choice, name),
    ...(faulty.includes(name) ? faultTasks(choice, name) : []),
  ]);
  const { guard, seed } = choice;
  for (const scenario of raceNames) {
    for (const shell of everyShell) {
      const plan = { times: shell === 'dash' ? 30 : 15, seed };
      tasks.push({ sweep: 'race', guard, shell, fs: 'ext4', scenario, plan });
    }
  }
  const wanted = tasks.filter((task) => chosen(task, choice));
  const own = choice.every ? wanted.flatMap(unsampled) : wanted;
  return (thinner ? own.flatMap((task) => thinned(task, thinner)) : own).concat(scalePlan(choice));
}

/** Parts of a step that is tried at every call, or one part by lot of a step that is not. */
function shares(
  seed: number,
  whole: boolean,
  parts: number,
  sample: number,
  thin: number,
): Share[] {
  if (!whole) return [{ part: 0, parts: 1, seed, thin, sample }];
  return Array.from({ length: parts }, (_, part) => ({ part, parts, seed, thin }));
}

function killTasks({ guard, seed }: Choice, scenario: string): Task[] {
  const whole = main.includes(scenario);
  const bothWays = scenario === 'begin';
  const dash = shares(seed, whole, 8, 10, whole ? 6 : 12).map((share): Task => {
    const plan = { ...share, bothWays, again: 4 };
    return { sweep: 'kill', guard, shell: 'dash', fs: 'ext4', scenario, plan };
  });
  const others = [
    { shell: 'bash', fs: 'ext4', parts: 4 },
    { shell: 'busybox', fs: 'ext4', parts: 4 },
    { shell: 'mksh', fs: 'ext4', parts: 4 },
    { shell: 'dash', fs: 'xfs', parts: 0 },
  ] as const;
  const more = others.flatMap(({ shell, fs, parts }) =>
    shares(seed, staging.includes(scenario) && parts > 0, parts, whole ? 20 : 3, 6).map(
      (share): Task => {
        const plan = { ...share, bothWays: false, again: 2 };
        return { sweep: 'kill', guard, shell, fs, scenario, plan };
      },
    ),
  );
  return [...dash, ...more];
}

function powerTasks({ guard, seed }: Choice, scenario: string): Task[] {
  const whole = verbs.includes(scenario);
  const on = whole ? fileSystems : (['ext4', 'xfs'] as const);
  const tasks = on.flatMap((fs) => {
    const single = fs === 'ext4' || fs === 'xfs';
    const sample = single ? (whole ? 24 : 4) : 3;
    const everywhere = (scenario === 'begin' && single) || (scenario === 'commit' && fs === 'ext4');
    return shares(seed, everywhere, 6, sample, 6).map(
      (plan): Task => ({ sweep: 'power', guard, shell: 'dash', fs, scenario, plan }),
    );
  });
  for (const shell of whole ? (['bash', 'busybox', 'mksh'] as const) : []) {
    const plan = { part: 0, parts: 1, seed, thin: 40, sample: 6 };
    tasks.push({ sweep: 'power', guard, shell, fs: 'xfs', scenario, plan });
  }
  return tasks;
}

function faultTasks({ guard, seed }: Choice, scenario: string): Task[] {
  const place = { guard, shell: 'dash', fs: 'ext4', scenario } as const;
  const tasks: Task[] = [{ sweep: 'full disk', ...place, plan: { seed, sample: 30 } }];
  for (const fault of faults) {
    for (const lasting of [false, true]) {
      const plan = { part: 0, parts: 1, seed, thin: 10, sample: 10, fault, lasting };
      tasks.push({ sweep: 'fault', ...place, plan });
    }
  }
  return tasks;
}

function unsampled(task: Task): Task[] {
  if (!('plan' in task) || !('part' in task.plan)) return [task];
  if (task.plan.part !== 0) return [];
  const { sample: _few, ...some } = task.plan;
  const all = { ...some, thin: 1, ofReserve: 1, ...('again' in some && { again: 1 }) };
  const parts = 24;
  return Array.from(
    { length: parts },
    (_, part) => ({ ...task, plan: { ...all, part, parts } }) as Task,
  );
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
    const kill = { ...some, sample: 3, bothWays: false, again: 2 };
    tasks.push({ sweep: 'kill', guard, shell, fs: 'ext4', scenario, plan: kill });
    if ((index + seed) % 2 === 0) {
      const fs = turn(fileSystems, index >> 1);
      const plan = { ...some, sample: 2 };
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
