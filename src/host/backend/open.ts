import { SavepointError, sentenceOf } from '../../errors.ts';
import type { Host } from '../host.ts';
import { resolveConfigured } from '../ssh-config/configured.ts';
import { type BackendTarget, type BackendUse, type HostTarget, hostName } from '../target.ts';
import { type OptionalVerb, optionalVerbs } from './backend.ts';
import { CommandHost } from './command-host.ts';
import { readOpenAnswer } from './endpoint.ts';
import { loadBackend } from './load.ts';
import { type BackendOptions, failedBackend, within } from './within.ts';

export type { BackendOptions } from './within.ts';

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
  const can = await within(asked.backend, 'capabilities', options, (it) => loaded.capabilities(it));
  const use = { ...asked.backend, can: optionalVerbs.filter((verb) => can.includes(verb)) };
  try {
    const said = await within(use, 'open', options, (context) => loaded.call('open', context));
    const { asked: endpoint, state } = readOpenAnswer(said, asked);
    const backend = { ...use, opened: true, ...(state !== undefined && { state }) };
    if (!endpoint && !can.includes('run')) {
      throw failedBackend(use, 'open', 'it gave no endpoint and runs no commands itself');
    }
    const target = endpoint
      ? await resolveConfigured(endpoint, asked.login.sshConfig ?? 'none')
      : { ...asked, backend };
    return { target, backend };
  } catch (error) {
    const { signal: _over, ...rest } = options;
    await callBackend(use, 'close', rest).catch((second: unknown) =>
      rest.log?.(`Nor could it be closed: ${sentenceOf(second)}`),
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
  const can = use.opened
    ? use.can
    : await within(use, 'capabilities', options, (it) => loaded.capabilities(it));
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
  if (!connect) throw failedBackend(backend, 'connect', 'it runs no commands itself');
  const runner = await within(backend, 'connect', options, (context) => connect(context));
  return new CommandHost(hostName(target), runner);
}
