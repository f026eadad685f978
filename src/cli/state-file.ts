import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { resolve } from 'node:path';
import type { Environment } from '../ci/environment.ts';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { Listener } from '../report/listener.ts';
import type { Ledger } from '../run/ledger.ts';
import { parseSaved, type SavedRun } from '../run/saved.ts';

/** What the commands of the split form leave to each other. Has the token: only for its owner. */
export interface SplitState extends SavedRun {
  ledger: Ledger;
  /** The variable that the SSH key came from; the key itself is never recorded. */
  keyEnv?: string;
}

export function statePath(given: string | undefined, env: Environment): string {
  return resolve(given || env.SAVEPOINT_STATE || '.savepoint-state.json');
}

/**
 * Records a transaction that is about to be opened.
 * @throws SavepointError `bad-usage` when one is recorded there already, `output-unwritable`.
 */
export function createState(file: string, state: SplitState): void {
  try {
    writeFileSync(file, JSON.stringify(state), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(file, error);
    throw new SavepointError('bad-usage', {
      message: 'A transaction is recorded there already.',
      place: { field: '--state' },
      details: { found: file, allowed: 'a file that does not exist' },
      hint: 'End it with `savepoint finish` or `savepoint rollback`, or name another file.',
    });
  }
}

/** Replaces the recorded state as a whole. */
export function writeState(file: string, state: SplitState): void {
  const next = `${file}.next`;
  try {
    rmSync(next, { force: true });
    writeFileSync(next, JSON.stringify(state), { mode: 0o600, flag: 'wx' });
    renameSync(next, file);
  } catch (error) {
    throw unwritable(file, error);
  }
}

/**
 * Reads the recorded transaction.
 * @throws SavepointError `state-missing`, `state-bad`; also when others could have read or written it.
 */
export function readState(file: string): SplitState {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (cause) {
    throw new SavepointError('state-missing', {
      message: `No transaction is recorded in ${file}: ${sentenceOf(cause)}`,
      details: { found: file },
      hint: 'Begin one, or say where it is recorded by --state or SAVEPOINT_STATE.',
      cause,
    });
  }
  try {
    const { mode, uid } = fstatSync(descriptor);
    const ownUid = process.getuid?.();
    if ((mode & 0o077) !== 0 || (ownUid !== undefined && uid !== ownUid)) {
      throw new SavepointError('state-bad', {
        message: 'The recorded transaction is open to other users, so it cannot be trusted.',
        details: {
          found: `${file}, mode ${(mode & 0o777).toString(8)}, user ${uid}`,
          allowed: `mode 600, user ${ownUid}`,
        },
        hint: 'The host rolls back by itself when its lease is over.',
      });
    }
    const state = parseSaved(readFileSync(descriptor, 'utf8'), file) as SplitState;
    if (typeof state.ledger !== 'object') {
      throw new SavepointError('state-bad', { details: { found: file } });
    }
    return state;
  } finally {
    closeSync(descriptor);
  }
}

export function removeState(file: string): void {
  rmSync(file, { force: true });
}

/** Keeps the recorded state as far as the run is. */
export function stateListener(file: string, state: SplitState): Listener {
  return {
    on: ({ kind }) => {
      if (kind !== 'output') writeState(file, state);
    },
  };
}

function unwritable(file: string, cause: unknown): SavepointError {
  return new SavepointError('output-unwritable', {
    message: `The transaction cannot be recorded in ${file}: ${sentenceOf(cause)}`,
    details: { file },
    hint: 'Name another file by --state or SAVEPOINT_STATE.',
    cause,
  });
}
