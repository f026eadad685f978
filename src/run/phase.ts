import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { asSavepointError, SavepointError, sentenceOf } from '../errors.ts';
import type { Exit } from '../host/host.ts';
import type { PhaseWhere } from '../job/job.ts';
import type { News } from '../transaction/news.ts';
import type { PhaseProcess } from '../transaction/types.ts';
import { errorRecord } from './error-record.ts';
import type { EventBody, Output, ProcessEnd } from './events.ts';
import { type Line, lines } from './lines.ts';
import type { Masker } from './mask.ts';
import { meanwhile } from './meanwhile.ts';
import { merge } from './merge.ts';

/** How long the last output of a killed process may take, in milliseconds. */
const LAST_WORDS = 5_000;

/** Node's timers hold no more than 31 bits of milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** One phase, ready to start; `check` is one too. */
export interface PhaseRun {
  name: string;
  where: PhaseWhere;
  /** Seconds; none means no limit of its own. */
  timeout?: number;
  /** How many commands it has; they run one after the other until one fails. */
  commands: number;
  /**
   * Starts one of them.
   * @param reboots How often the host has restarted in this phase.
   * @param signal Gives it up.
   */
  start(command: number, reboots: number, signal: AbortSignal): Promise<PhaseProcess>;
  /** The error for a command that ended with anything but 0. */
  failed(end: ProcessEnd): SavepointError;
}

export interface PhaseOptions {
  masker: Masker;
  /** Aborting kills the phase; its reason, when it is a SavepointError, becomes the phase's error. */
  cancel: AbortSignal;
  /** Of the host's connection. */
  news: News;
}

/**
 * Runs one phase: its start, its output line by line, and exactly one end whatever happens.
 * Never throws; the failure is in the `phase_fail` event.
 */
export async function* runPhase(
  phase: PhaseRun,
  { masker, cancel, news }: PhaseOptions,
): AsyncGenerator<EventBody> {
  yield { kind: 'phase_start', phase: phase.name, where: phase.where };
  const began = performance.now();
  using limit = new Limit(phase, cancel);
  let end: ProcessEnd = {};
  let error: SavepointError | undefined;
  try {
    let reboots = 0;
    for (let command = 0; command < phase.commands && !limit.error; ) {
      end = {};
      const starting = phase.start(command, reboots, limit.signal);
      const process = limit.watch(yield* meanwhile(news, starting));
      const told = [...outputs(process, masker, news), progressOf(process, phase)];
      for await (const each of merge(told)) {
        if (!('batch' in each)) yield each;
        else for (const line of each.batch) yield output(phase, each.stream, line);
      }
      const exit = yield* meanwhile(news, process.exit);
      limit.left();
      if (exit.rebooted === undefined) {
        end = endOf(exit);
        if (end.exit !== 0) break;
        command++;
      } else {
        reboots++;
        yield { kind: 'host_rebooted', phase: phase.name, count: reboots, boot: exit.rebooted };
        // A list goes on behind the command that restarted the host; a script finds its place itself.
        if (phase.commands > 1) command++;
        end = { exit: 0 };
      }
    }
    limit.settled();
    error = end.exit === 0 ? undefined : phase.failed(end);
  } catch (thrown) {
    error = asSavepointError(thrown);
  } finally {
    // Reached with the process running only when nobody listens any more.
    await limit.stopped();
  }
  error = limit.error ?? error;
  if (limit.notKilled) yield { kind: 'warning', message: limit.notKilled };
  const duration = Math.round(performance.now() - began) / 1000;
  if (error) {
    yield {
      kind: 'phase_fail',
      phase: phase.name,
      duration,
      ...end,
      error: errorRecord(error),
    };
  } else {
    yield { kind: 'phase_success', phase: phase.name, duration, exit: 0 };
  }
}

interface Batch {
  stream: Output['stream'];
  batch: Line[];
}

function outputs(
  process: PhaseProcess,
  masker: Masker,
  news: News,
): AsyncIterable<Batch | EventBody>[] {
  const tagged = async function* (stream: Output['stream']) {
    for await (const batch of lines(process[stream], masker)) yield { stream, batch };
  };
  const over = Promise.allSettled([finished(process.stdout), finished(process.stderr)]);
  return [tagged('stdout'), tagged('stderr'), news.until(over)];
}

/** How far it is, of a process that says so. */
async function* progressOf(
  { progress }: PhaseProcess,
  { name }: PhaseRun,
): AsyncGenerator<EventBody> {
  for await (const now of progress ?? []) yield { kind: 'progress', phase: name, ...now };
}

function output({ name }: PhaseRun, stream: Output['stream'], line: Line): EventBody {
  return { kind: 'output', phase: name, stream, ...line };
}

function endOf(exit: Exit): ProcessEnd {
  return exit.code === undefined ? { signal: exit.signal } : { exit: exit.code };
}

/** Kills the phase's process when its time is over or the job is cancelled, whichever is first. */
class Limit implements Disposable {
  error: SavepointError | undefined;
  readonly #over = new AbortController();
  /** Why the process may still be running although it had to be killed. */
  notKilled: string | undefined;
  readonly #phase: PhaseRun;
  readonly #cancel: AbortSignal;
  readonly #timer: NodeJS.Timeout | undefined;
  #process: PhaseProcess | undefined;
  #killing: Promise<void> | undefined;
  readonly #onCancel = (): void => this.#stop(cancellation(this.#cancel));

  constructor(phase: PhaseRun, cancel: AbortSignal) {
    this.#phase = phase;
    this.#cancel = cancel;
    const { name, timeout } = phase;
    if (timeout !== undefined) {
      const late = () =>
        new SavepointError('phase-timeout', {
          message: `Phase ${name} was stopped: it took longer than ${timeout} s.`,
          details: { phase: name, timeout },
        });
      const milliseconds = Math.min(timeout * 1000, LONGEST_TIMER);
      this.#timer = setTimeout(() => this.#stop(late()), milliseconds);
    }
    if (cancel.aborted) this.#onCancel();
    else cancel.addEventListener('abort', this.#onCancel);
  }

  /** From now on this is what a limit kills; at once when one was met while it started. */
  watch(process: PhaseProcess): PhaseProcess {
    // Awaited later, or never when the output fails first; a rejection must not end Node.
    process.exit.catch(() => undefined);
    this.#process = process;
    if (this.error) this.#kill();
    return process;
  }

  /** Aborted when a limit was met: nothing more is to be started. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** The process has ended; another may follow. */
  left(): void {
    this.#process = undefined;
  }

  /** The phase has ended; no limit applies any more. */
  settled(): void {
    this[Symbol.dispose]();
  }

  /** Resolves when the process is gone, killing it if it still runs. */
  async stopped(): Promise<void> {
    if (this.#process) this.#kill();
    this[Symbol.dispose]();
    await this.#killing;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#cancel.removeEventListener('abort', this.#onCancel);
  }

  #stop(error: SavepointError): void {
    if (this.error) return;
    this.error = error;
    this.#over.abort(error);
    if (this.#process) this.#kill();
  }

  #kill(): void {
    this.#killing ??= kill(this.#process as PhaseProcess).catch((error: unknown) => {
      this.notKilled = `Phase ${this.#phase.name} could not be killed: ${sentenceOf(error)}`;
    });
  }
}

/** Ends the process, and its streams when something that escaped still holds them. */
async function kill(process: PhaseProcess): Promise<void> {
  const { stdout, stderr, exit } = process;
  try {
    await process.kill();
    const ends = [exit, finished(stdout), finished(stderr)];
    await Promise.race([Promise.allSettled(ends), delay(LAST_WORDS, undefined, { ref: false })]);
  } finally {
    const reason = new Error('The process was killed and its output did not end.');
    for (const stream of [stdout, stderr]) if (!stream.readableEnded) stream.destroy(reason);
  }
}

/** Why the signal was aborted, as the error of what it stopped. */
export function cancellation(cancel: AbortSignal): SavepointError {
  const { reason } = cancel;
  return reason instanceof SavepointError ? reason : new SavepointError('job-cancelled');
}
