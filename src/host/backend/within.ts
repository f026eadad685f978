import { setTimeout as delay } from 'node:timers/promises';
import { SavepointError, sentenceOf } from '../../errors.ts';
import type { BackendUse } from '../target.ts';
import type { BackendContext, Verb } from './backend.ts';

export interface BackendOptions {
  /** Shows a line that the backend says to people; it is data. */
  log?: (line: string) => void;
  /** Takes out what nobody may read, of these lines and of its errors. */
  mask?: (text: string) => string;
  /** Gives up. */
  signal?: AbortSignal;
}

type Step = Verb | 'connect' | 'capabilities';

/** Milliseconds: opening may mean installing a machine; the rest is a restart at most. */
const limits: Readonly<Record<Step, number>> = {
  capabilities: 60_000,
  open: 30 * 60_000,
  connect: 60_000,
  revert: 30 * 60_000,
  reboot: 15 * 60_000,
  close: 5 * 60_000,
};

/** Milliseconds that a backend which was stopped may take to end: an executable is killed in 2 s. */
const grace = 5000;

/** Of what a backend said last, so many lines are in an error. */
const lastLines = 5;

/**
 * Does something with a backend in limited time. Whatever it throws is a failure of its own.
 * @throws SavepointError `backend-failed`, with the last that it said; `job-cancelled`
 */
export async function within<Answer>(
  backend: BackendUse,
  step: Step,
  { log = () => undefined, mask = (text) => text, signal }: BackendOptions,
  act: (context: BackendContext) => Promise<Answer>,
): Promise<Answer> {
  const { id, with: told, state } = backend;
  const said: string[] = [];
  const tell = (line: string) => {
    const shown = mask(line);
    said.push(shown);
    if (said.length > lastLines) said.shift();
    log(shown);
  };
  const late = AbortSignal.timeout(limits[step]);
  const either = signal ? AbortSignal.any([late, signal]) : late;
  const context = { id, with: told, ...(state !== undefined && { state }), signal: either };
  const acting = act({ ...context, log: tell });
  try {
    return await Promise.race([acting, aborted(either)]);
  } catch (error) {
    if (!either.aborted) throw failedBackend(backend, step, mask(sentenceOf(error)), said);
    // One that does not listen to the signal is not waited for any longer.
    await Promise.race([acting.catch(() => undefined), delay(grace, undefined, { ref: false })]);
    if (!signal?.aborted) throw failedBackend(backend, step, 'it took too long', said);
    if (signal.reason instanceof SavepointError) throw signal.reason;
    const message = `Waiting for ${backend.use} was given up.`;
    throw new SavepointError('job-cancelled', { message });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
}

export function failedBackend(
  { use }: BackendUse,
  step: string,
  why: string,
  said: readonly string[] = [],
): SavepointError {
  return new SavepointError('backend-failed', {
    message: `The backend ${use} failed at ${step}: ${why}${/[.!?]$/.test(why) ? '' : '.'}`,
    details: { backend: use, verb: step, ...(said.length > 0 && { said: [...said] }) },
  });
}
