import { asSavepointError } from '../errors.ts';
import { type BackendOptions, callBackend, openBackend } from '../host/backend/open.ts';
import type { BackendUse, HostTarget } from '../host/target.ts';
import { decide } from './decide.ts';
import { errorRecord } from './error-record.ts';
import type { EventBody } from './events.ts';
import { mayBeOpen } from './ledger.ts';
import type { Run } from './phases.ts';

/** The backend of a run's host, and where what it says goes. */
export interface RunBackend {
  use: BackendUse;
  options: BackendOptions;
}

/**
 * Has the host made ready, if a backend does that.
 * @param keep records how the host is reached and taken back, before anything else happens
 * @throws SavepointError as `openBackend`
 */
export async function readyHost(
  host: HostTarget,
  options: BackendOptions,
  keep: (target: HostTarget, backend: BackendUse) => void,
): Promise<{ host: HostTarget; backend?: RunBackend }> {
  if (host.type !== 'backend') return { host };
  const { target, backend } = await openBackend(host, options);
  keep(target, backend);
  // A cancel gives up opening it, never taking it back.
  const { signal: _cancel, ...rest } = options;
  return { host: target, backend: { use: backend, options: rest } };
}

/** The restart of a host that does not answer, for `connect`; absent when nothing can. */
export function restartOf(backend: RunBackend | undefined): { restart?: () => Promise<void> } {
  if (!backend?.use.can.includes('reboot')) return {};
  const { use, options } = backend;
  return { restart: async () => void (await callBackend(use, 'reboot', options)) };
}

/**
 * Gives the host back, once nothing is open there any more. One that could not be brought back is
 * restarted, so that its own recovery at boot rolls back, and else reverted, where the backend can.
 */
export async function* releaseBackend(run: Run): AsyncGenerator<EventBody> {
  const { backend, ledger } = run;
  if (!backend) return;
  const call = async function* (verb: 'close' | 'revert' | 'reboot', did: string) {
    try {
      const done = await callBackend(backend.use, verb, backend.options);
      if (done && did) yield { kind: 'warning', message: did } as const;
      return done;
    } catch (thrown) {
      yield { kind: 'error', error: errorRecord(asSavepointError(thrown)) } as const;
      return false;
    }
  };
  if (ledger.opened && mayBeOpen(ledger)) {
    const restarted = yield* call('reboot', 'The backend restarted the host.');
    if (restarted) yield* decide(run, { decision: 'rollback', reason: 'the host was restarted' });
  }
  if (ledger.outcome === 'rollback-failed' || (ledger.opened && mayBeOpen(ledger))) {
    yield* call('revert', 'The backend put the host back to what it was when it was opened.');
  }
  yield* call('close', '');
}
