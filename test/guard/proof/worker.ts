/**
 * Does one task (JSON in the first argument) and prints its tally (JSON). Started by pool.ts in
 * mount and process namespaces of its own: what it mounts and what it starts ends with it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { faultSweep } from './faults.ts';
import { killSweep } from './kill.ts';
import { Life } from './life.ts';
import { Machine } from './machine.ts';
import { powerSweep } from './power.ts';
import { raceSweep } from './races.ts';
import { measure } from './scale.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { fullDiskSweep } from './space.ts';
import type { Tally } from './tally.ts';
import type { Task } from './task.ts';

async function perform(task: Exclude<Task, { sweep: 'scale' }>, life: Life): Promise<Tally> {
  if (task.sweep === 'race') return raceSweep(life, task.scenario, task.plan);
  const scenario = scenarioOf(task.scenario);
  switch (task.sweep) {
    case 'kill':
      return killSweep(life, scenario, task.plan);
    case 'power':
      return powerSweep(life, scenario, task.plan);
    case 'fault':
      return faultSweep(life, scenario, task.plan);
    case 'full disk':
      return fullDiskSweep(life, scenario, task.plan);
  }
}

function scenarioOf(name: string): Scenario {
  const found = scenarios.find((s) => s.name === name);
  if (!found) throw new Error(`no scenario '${name}'; there are ${scenarios.map((s) => s.name)}`);
  return found;
}

async function main(json: string, scratch: string): Promise<Tally> {
  const task = JSON.parse(json) as Task;
  if (task.sweep === 'scale') return measure(Number(task.scenario), task.guard, task.shell);
  const dir = join(scratch, task.sweep.replaceAll(' ', '-'));
  mkdirSync(dir);
  using life = new Life(dir, new Machine(dir, task.shell), task.guard, task.shell, task.fs);
  return await perform(task, life);
}

const [json = '', scratch = ''] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await main(json, scratch)));
