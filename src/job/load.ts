import { readFile } from 'node:fs/promises';
import { basename, dirname, extname } from 'node:path';
import { SavepointError } from '../errors.ts';
import { type LoadContext, localPath, processContext } from './context.ts';
import { documentOf, type JobDocument, readDocuments } from './document.ts';
import type { Job } from './job.ts';
import { normalize } from './normalize.ts';
import { type Override, parseSet } from './override.ts';

/** Everything a person can say about what to run. */
export interface JobRequest {
  /** Job file; relative to the working directory. Without it `overrides` are the whole job. */
  file?: string;
  /** From options or inputs; `--set` among them. Later ones win. */
  overrides?: readonly Override[];
  /** Name of a job that has no file. */
  name?: string;
  /** The private SSH key itself, where an input gives it. */
  sshKey?: string;
  /** Default true. False reads jobs on machines that have no keys: to validate them. */
  credentials?: boolean;
  context?: LoadContext;
}

/**
 * The jobs that are asked for, in the order they run: one per document of the file.
 * @throws SavepointError of class usage; no host is touched.
 */
export async function loadJobs(request: JobRequest): Promise<Job[]> {
  const { file: given, overrides = [], credentials = true, sshKey } = request;
  const context = request.context ?? processContext();
  const common = { context, sshKey, credentials };
  if (given === undefined) {
    const name = request.name ?? 'job';
    const document = documentOf(overrides);
    return [await normalize({ ...common, document, name, directory: context.cwd })];
  }
  const path = localPath(given, context.cwd, context);
  const documents = readDocuments(await readText(path, given), given, overrides);
  const jobs: Job[] = [];
  for (const [index, document] of documents.entries()) {
    const name = nameOf(path, index, documents);
    jobs.push(
      await normalize({ ...common, document, name, file: given, directory: dirname(path) }),
    );
  }
  return jobs;
}

/** The jobs of a file with `--set` overrides laid over each of them. */
export function loadJob(file: string, sets: readonly string[] = []): Promise<Job[]> {
  return loadJobs({ file, overrides: sets.map(parseSet) });
}

async function readText(path: string, given: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new SavepointError('job-file-missing', {
      place: { file: given },
      details: { found: path, allowed: 'a readable YAML file' },
      cause,
    });
  }
}

function nameOf(path: string, index: number, documents: readonly JobDocument[]): string {
  const base = basename(path, extname(path));
  return documents.length === 1 ? base : `${base}-${index + 1}`;
}
