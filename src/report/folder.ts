import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { RunEvent } from '../run/events.ts';
import type { Listener } from './listener.ts';
import type { ResultFold } from './result.ts';

/** The files that a run leaves in its output folder. */
export const fileNames = {
  events: 'events.ndjson',
  result: 'result.json',
  diff: { applied: 'change.diff', commit: 'commit.diff', rollback: 'rollback.diff' },
  packages: 'packages.diff',
} as const;

/**
 * The output folder of a run, only for its owner: diffs may show what a configuration holds.
 * @throws SavepointError `output-unwritable`.
 */
export function createFolder(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    closeSync(openSync(join(folder, fileNames.events), 'a', 0o600));
  } catch (error) {
    throw new SavepointError('output-unwritable', {
      message: `The output folder ${folder} cannot be written to: ${sentenceOf(error)}`,
      details: { folder },
      hint: 'Name another folder with --output.',
      cause: error,
    });
  }
  return folder;
}

/** Writes each event as a line of JSON the moment it happens, so that a killed process leaves it. */
export function ndjsonFile(folder: string): Listener {
  const file = openSync(join(folder, fileNames.events), 'a', 0o600);
  return {
    on: (event) => {
      writeSync(file, `${JSON.stringify(event)}\n`);
    },
    end: () => closeSync(file),
  };
}

/** Keeps the diffs of what was changed and of what was undone, each in a file of its own. */
export function diffFiles(folder: string): Listener {
  const write = (name: string, text: string): void => {
    if (text !== '') writeFileSync(join(folder, name), text.replace(/\n?$/, '\n'), { mode: 0o600 });
  };
  return {
    on: (event) => {
      if (event.kind === 'transaction_applied') write(fileNames.diff.applied, event.diff);
      if (event.kind !== 'transaction_commit' && event.kind !== 'transaction_rollback') return;
      const kind = event.kind === 'transaction_commit' ? 'commit' : 'rollback';
      write(fileNames.diff[kind], event.diff);
      write(fileNames.packages, event.packages);
    },
  };
}

/** Writes the result when the events end; the fold may know those of an earlier process. */
export function resultFile(folder: string, fold: ResultFold): Listener {
  return {
    on: (event: RunEvent) => fold.note(event),
    end: () => {
      const text = `${JSON.stringify(fold.result(), null, 2)}\n`;
      writeFileSync(join(folder, fileNames.result), text, { mode: 0o600 });
    },
  };
}
