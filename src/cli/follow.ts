import { resolve } from 'node:path';
import type { SavepointError } from '../errors.ts';
import { consoleReport } from '../report/console.ts';
import { diffFiles, ndjsonFile, resultFile } from '../report/folder.ts';
import { deliver, type Listener } from '../report/listener.ts';
import { ResultFold } from '../report/result.ts';
import type { RunEvent } from '../run/events.ts';
import { answer, complain, type Io, screenOf } from './io.ts';

export interface FollowOptions {
  json?: boolean | undefined;
  /** May know the events of earlier commands. */
  fold?: ResultFold;
  /** Further listeners, told first. */
  first?: Listener[];
}

/**
 * Shows and keeps what a run tells.
 * @returns The exit status of reports that could not be written; 0 when all were.
 */
export async function follow(
  io: Io,
  events: AsyncIterable<RunEvent>,
  output: string,
  { json, fold = new ResultFold(), first = [] }: FollowOptions,
): Promise<number> {
  const failures: SavepointError[] = await deliver(events, [
    ...first,
    consoleReport(screenOf(io, json)),
    ndjsonFile(output),
    diffFiles(output),
    resultFile(output, fold),
  ]);
  if (json) answer(io, fold.result());
  for (const failure of failures) complain(io, failure, false);
  return failures[0]?.exitCode ?? 0;
}

/** The folder for a run's files: the one asked for, or one of its own. */
export function outputFolder(asked: unknown): (id: string) => string {
  return (id) =>
    typeof asked === 'string' && asked !== '' ? resolve(asked) : resolve('savepoint-results', id);
}
