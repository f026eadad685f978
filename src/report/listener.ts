import { asSavepointError, SavepointError } from '../errors.ts';
import type { RunEvent } from '../run/events.ts';

/** Something that follows a run: it reads events and never reaches back into the run. */
export interface Listener {
  on(event: RunEvent): void | Promise<void>;
  /** No more events come from this process. */
  end?(): void | Promise<void>;
}

/**
 * Tells every event to every listener. One that fails hears nothing more, while the run and the
 * others go on: a full disk must not keep a host from being rolled back.
 * @returns The failures of listeners, `output-unwritable` each; empty when all went well.
 */
export async function deliver(
  events: AsyncIterable<RunEvent>,
  listeners: readonly Listener[],
): Promise<SavepointError[]> {
  const listening = new Set(listeners);
  const failures: SavepointError[] = [];
  const tell = async (act: (listener: Listener) => unknown): Promise<void> => {
    for (const listener of listening) {
      try {
        await act(listener);
      } catch (error) {
        listening.delete(listener);
        failures.push(unwritable(error));
      }
    }
  };
  for await (const event of events) await tell((listener) => listener.on(event));
  await tell((listener) => listener.end?.());
  return failures;
}

function unwritable(error: unknown): SavepointError {
  if (error instanceof SavepointError) return error;
  return new SavepointError('output-unwritable', {
    message: `A report of the job could not be written: ${asSavepointError(error).causes[0] ?? error}`,
    cause: error,
  });
}
