import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type ErrorName, describe as explain, SavepointError } from '../../src/errors.ts';
import type { LoadContext } from '../../src/job/context.ts';
import type { Job } from '../../src/job/job.ts';
import { type JobRequest, loadJobs } from '../../src/job/load.ts';
import { parseSet } from '../../src/job/override.ts';

/** A folder that is gone when the test is; text becomes files, `-> x` a link, '' a directory. */
export function folder(files: Record<string, string> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'savepoint-job-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (text.startsWith('-> ')) symlinkSync(text.slice(3), path);
    else if (!name.endsWith('/')) writeFileSync(path, text);
  }
  return root;
}

/** What a job may take from the machine, as the same thing on every machine. */
export function context(overrides: Partial<LoadContext> = {}): LoadContext {
  return { cwd: '/work', home: '/home/ci', user: 'ci', isRoot: false, env: {}, ...overrides };
}

export interface Loading extends Omit<JobRequest, 'file' | 'overrides' | 'context'> {
  files?: Record<string, string>;
  sets?: string[];
  context?: Partial<LoadContext>;
}

/** The jobs of a YAML text, loaded from a file `job.yml` in a folder of its own. */
export async function load(yaml: string, options: Loading = {}): Promise<Job[]> {
  const { files = {}, sets = [], context: overrides, ...request } = options;
  const cwd = folder({ ...files, 'job.yml': yaml });
  return loadJobs({
    ...request,
    file: 'job.yml',
    overrides: sets.map(parseSet),
    context: context({ cwd, ...overrides }),
  });
}

/** The only job of a text. */
export async function loadOne(yaml: string, options: Loading = {}): Promise<Job> {
  const [job, ...others] = await load(yaml, options);
  if (!job || others.length > 0) throw new Error('expected one job');
  return job;
}

/** What something was refused with; fails when it was not refused. */
export async function refusal(promise: Promise<unknown>): Promise<SavepointError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof SavepointError) return error;
  throw new Error('expected a SavepointError', { cause: error });
}

/** A job that must not be accepted. */
export interface BadInput extends Loading {
  what: string;
  yaml: string;
  name: ErrorName;
  /** Line of job.yml; none where an option is to blame. */
  line?: number;
  field?: string;
  /** All of these are in what the person reads. */
  says: string[];
}

/** Checks that a job is refused as it should be, with exit status 2. */
export async function expectRefused(bad: BadInput): Promise<void> {
  const { what: _, yaml, name, line, field, says, ...options } = bad;
  const error = await refusal(load(yaml, options));
  expect(error.name).toBe(name);
  expect(error.exitCode).toBe(2);
  expect(error.place?.line).toBe(line);
  expect(error.place?.field).toBe(field);
  if (line !== undefined) expect(error.place?.file).toBe('job.yml');
  for (const words of says) expect(explain(error)).toContain(words);
}
