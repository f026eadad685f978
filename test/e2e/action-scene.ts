import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '../../src/report/result.ts';
import { patchFiles, type TestRoot, testRoot } from './root.ts';
import { Runner } from './runner.ts';
import type { ActionStep, JobResult, StepResult } from './steps.ts';

/** A root to protect, and a runner whose workspace has a patch for it. */
export interface Scene {
  root: TestRoot;
  before: Record<string, string>;
  runner: Runner;
}

export function scene(): Scene {
  const root = testRoot();
  const runner = new Runner();
  patchFiles(runner.workspace);
  return { root, before: root.snapshot(), runner };
}

/** The step that opens a transaction on the root and runs the commands as its test phase. */
export function savepoint({ root }: Scene, given: Record<string, string> = {}): ActionStep {
  return {
    uses: 'savepoint',
    name: 'savepoint',
    with: { root: root.path, track: '/etc/apt', files: 'files', sudo: 'false', ...given },
  };
}

export function stage(result: JobResult, of: 'main' | 'post', name = 'savepoint'): StepResult {
  const found = result.steps.find((step) => step.name === name && step.stage === of);
  if (!found) throw new Error(`${name} has no ${of} stage`);
  return found;
}

export function resultFile(result: JobResult): Result {
  const path = stage(result, 'main').outputs['result-file'] ?? '';
  return JSON.parse(readFileSync(path, 'utf8'));
}

export function eventNames(result: JobResult): string[] {
  const path = stage(result, 'main').outputs['events-file'] ?? '';
  const events = readFileSync(path, 'utf8').trim().split('\n');
  return events.map((line) => JSON.parse(line).event).filter((name) => name !== 'output');
}

/** The files in the output folder of a run, one text. */
export function keptFiles(result: JobResult): string {
  const folder = stage(result, 'main').outputs['output-dir'] ?? '';
  return readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n');
}
