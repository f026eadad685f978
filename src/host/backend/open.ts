import { asSavepointError, SavepointError, sentenceOf } from '../../errors.ts';
import type { Host } from '../host.ts';
import { resolveConfigured } from '../ssh-config/configured.ts';
import { type BackendTarget, type BackendUse, type HostTarget, hostName } from '../target.ts';
import { type BackendContext, type OptionalVerb, optionalVerbs, type Verb } from './backend.ts';
import { CommandHost } from './command-host.ts';
import { readOpenAnswer } from './endpoint.ts';
import { loadBackend } from './load.ts';

export interface BackendOptions {
  /** A line that the backend says to people; it is data. */
  log?: (line: string) => void;
  /** Gives up. */
  signal?: AbortSignal;
}

/** Milliseconds: opening may mean installing a machine; the rest is a restart at most. */
const limits: Readonly<Record<Verb | 'connect', number>> = {
  open: 30 * 60_000,
  connect: 60_000,
  revert: 30 * 60_000,
  reboot: 15 * 60_000,
  close: 5 * 60_000,
};

/** A host that a backend has made ready: how it is reached, and how it is taken back. */
export interface OpenedBackend {
  target: HostTarget;
  backend: BackendUse;
}

/**
 * Has a backend make its host ready. What is left of one that fails is closed.
 * @throws SavepointError `backend-failed`, `backend-bad`; `job-cancelled`
 */
export async function openBackend(
  asked: BackendTarget,
  options: BackendOptions = {},
): Promise<OpenedBackend> {
  const loaded = await loadBackend(asked.backend);
  const can = await loaded.capabilities();
  const use = { ...asked.backend, can: optionalVerbs.filter((verb) => can.includes(verb)) };
  try {
    const said = await within(use, 'open', options, (context) => loaded.call('open', context));
    const { asked: endpoint, state } = readOpenAnswer(said, asked);
    const backend = { ...use, opened: true, ...(state !== undefined && { state }) };
    if (!endpoint && !loaded.connect) {
      throw failed(use, 'open', 'it gave no endpoint and runs no commands itself');
    }
    const target = endpoint
      ? await resolveConfigured(endpoint, asked.login.sshConfig ?? 'none')
      : { ...asked, backend };
    return { target, backend };
  } catch (error) {
    await callBackend(use, 'close', { ...(options.log && { log: options.log }) }).catch(
      (second: unknown) => options.log?.(`Nor could it be closed: ${sentenceOf(second)}`),
    );
    throw error;
  }
}

/**
 * Asks a backend for one of the things that it may be able to do.
 * @returns false when it is not able to.
 * @throws SavepointError `backend-failed`, `backend-bad`
 */
export async function callBackend(
  use: BackendUse,
  verb: OptionalVerb,
  options: BackendOptions = {},
): Promise<boolean> {
  const loaded = await loadBackend(use);
  const can = use.opened ? use.can : await loaded.capabilities();
  if (!can.includes(verb)) return false;
  await within(use, verb, options, (context) => loaded.call(verb, context));
  return true;
}

/** The host of a backend that runs the commands itself. @throws SavepointError as `openBackend` */
export async function connectBackend(
  target: BackendTarget,
  options: BackendOptions = {},
): Promise<Host> {
  const { backend } = target;
  if (!backend.opened) {
    throw new SavepointError('not-open', { message: `${backend.id} was never made ready.` });
  }
  const { connect } = await loadBackend(backend);
  if (!connect) throw failed(backend, 'connect', 'it runs no commands itself');
  const runner = await within(backend, 'connect', options, (context) => connect(context));
  return new CommandHost(hostName(target), runner);
}

/** Does something with a backend in limited time; whatever it throws is a failure of its own. */
async function within<Answer>(
  { id, with: told, state, use }: BackendUse,
  verb: Verb | 'connect',
  { log = () => undefined, signal }: BackendOptions,
  act: (context: BackendContext) => Promise<Answer>,
): Promise<Answer> {
  const late = AbortSignal.timeout(limits[verb]);
  const either = signal ? AbortSignal.any([late, signal]) : late;
  const context = { id, with: told, ...(state !== undefined && { state }), signal: either, log };
  const stopped = new Promise<never>((_, reject) => {
    const stop = () => reject(stoppedError(use, verb, signal));
    if (either.aborted) stop();
    either.addEventListener('abort', stop, { once: true });
  });
  try {
    // A module that does not listen to the signal is not waited for.
    return await Promise.race([act(context), stopped]);
  } catch (error) {
    if (error instanceof SavepointError && !either.aborted) throw error;
    if (either.aborted) throw stoppedError(use, verb, signal);
    throw failed({ use }, verb, sentenceOf(error), error);
  } finally {
    stopped.catch(() => undefined);
  }
}

function stoppedError(use: string, verb: string, signal: AbortSignal | undefined): SavepointError {
  if (!signal?.aborted) return failed({ use }, verb, 'it took too long');
  const { reason } = signal;
  return reason instanceof SavepointError
    ? reason
    : new SavepointError('job-cancelled', { message: `Waiting for ${use} was given up.` });
}

function failed(
  { use }: Pick<BackendUse, 'use'>,
  verb: string,
  why: string,
  cause?: unknown,
): SavepointError {
  return new SavepointError('backend-failed', {
    message: `The backend ${use} failed at ${verb}: ${why}${/[.!?]$/.test(why) ? '' : '.'}`,
    details: { backend: use, verb },
    ...(cause !== undefined && { cause: asCause(cause) }),
  });
}

const asCause = (cause: unknown): unknown =>
  cause instanceof Error ? cause : asSavepointError(cause);
