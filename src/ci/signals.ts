import { SavepointError } from '../errors.ts';

const cancelling = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Cancellation extends Disposable {
  /** The first signal: stop what runs, clean up, finish. */
  cancel: AbortSignal;
  /** The second: do not wait for the cleanup either. */
  abandon: AbortSignal;
}

/** Turns signals into cancellations; none of them ends the process any more. */
export function onSignals(tell: (message: string) => void): Cancellation {
  const cancel = new AbortController();
  const abandon = new AbortController();
  const handle = (signal: NodeJS.Signals): void => {
    const error = new SavepointError('job-cancelled', {
      message: `The job was cancelled by ${signal}.`,
      details: { signal },
    });
    if (!cancel.signal.aborted) {
      tell(`${signal}: stopping. Once more to skip the cleanup.`);
      cancel.abort(error);
    } else if (!abandon.signal.aborted) {
      tell(`${signal}: the cleanup is skipped. The rollback is not: it cannot be interrupted.`);
      abandon.abort(error);
    } else {
      tell(`${signal}: ignored until the host is as it was.`);
    }
  };
  for (const signal of cancelling) process.on(signal, handle);
  return {
    cancel: cancel.signal,
    abandon: abandon.signal,
    [Symbol.dispose]: () => {
      for (const signal of cancelling) process.off(signal, handle);
    },
  };
}

/** For a process that must finish whatever the runner thinks of it. */
export function ignoreSignals(): void {
  for (const signal of cancelling) process.on(signal, () => undefined);
}
