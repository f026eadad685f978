import type { GitHub } from '../ci/github.ts';
import { SavepointError } from '../errors.ts';
import type { Listener } from '../report/listener.ts';
import type { ErrorRecord } from '../run/events.ts';
import { type Ledger, newLedger } from '../run/ledger.ts';
import { parseSaved, type SavedRun } from '../run/saved.ts';

/** What main leaves for post: the run as it was planned, and where its credentials are. */
export interface ActionState extends SavedRun {
  credentials: string;
}

const RUN = 'savepoint';
const LEDGER = 'ledger';

/**
 * Bytes of one saved value: post gets it as a variable of its environment, and Linux starts no
 * process with one of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
 */
const LARGEST = 96 * 1024;

/** @throws SavepointError `bad-input` for a job that is too large to be kept. */
export function saveRun(github: GitHub, state: ActionState): void {
  const text = JSON.stringify(state);
  const size = Buffer.byteLength(text);
  if (size > LARGEST) {
    throw new SavepointError('bad-input', {
      message: 'The job is too large to be kept for the post step.',
      place: { field: 'job' },
      details: { found: `${size} bytes`, allowed: `${LARGEST} bytes without scripts but cleanup` },
      hint: 'Move a long cleanup script into a file, and long known_hosts lines too.',
    });
  }
  github.saveState(RUN, text);
}

/** @throws SavepointError `state-bad`. */
export function loadRun(github: GitHub): ActionState | undefined {
  const text = github.savedState(RUN);
  return text === undefined
    ? undefined
    : (parseSaved(text, 'the state of the step') as ActionState);
}

/** Saves how far the run is, at every step of it: main may be killed at any moment. */
export function ledgerState(github: GitHub, ledger: Ledger): Listener {
  return {
    on: ({ kind }) => {
      if (kind !== 'output') github.saveState(LEDGER, JSON.stringify(compact(ledger)));
    },
  };
}

/**
 * How far main came. What is not there or cannot be read counts as nothing, and nothing is
 * rolled back.
 */
export function loadLedger(github: GitHub): Ledger {
  const text = github.savedState(LEDGER);
  if (text === undefined) return newLedger();
  try {
    return JSON.parse(text) as Ledger;
  } catch {
    github.log.line('The phases that main ran are not recorded in a form that can be read.');
    return newLedger();
  }
}

/** Without details, which have no limit: they are in the events. */
function compact(ledger: Ledger): Ledger {
  const brief = (error: ErrorRecord): ErrorRecord => ({
    code: error.code,
    name: error.name,
    class: error.class,
    reason: error.reason.slice(0, 500),
    details: {},
    causes: [],
  });
  const troubles = ledger.troubles.map((it) => ({ ...it, error: brief(it.error) }));
  return { ...ledger, troubles: troubles.slice(0, 20) };
}
