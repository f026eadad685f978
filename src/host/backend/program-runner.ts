import { Readable } from 'node:stream';
import { capture } from '../capture.ts';
import type { Command, Exit, Host, Running } from '../host.ts';
import { killCommand, searchLimit } from '../kill-marked.ts';
import { openLocal } from '../local.ts';
import { markVariable, newMark } from '../processes.ts';
import { commandLine } from '../quote.ts';
import type { CommandRunner } from './backend.ts';

/** How a program that runs a host's commands is told which host: a line of JSON in its environment. */
const requestVariable = 'SAVEPOINT_REQUEST';

/**
 * Runs the commands of a host by `PROGRAM run WORD...`, started once for each: it runs these words
 * there, lends them its standard streams, and ends as they do. The words are those of a shell,
 * `/bin/sh -c LINE`, so that directory, environment and quoting are nothing it has to know of.
 */
export class ProgramRunner implements CommandRunner {
  readonly #program: string;
  readonly #request: string;
  readonly #local: Host = openLocal();

  /** @param request what the program is told, as one line of JSON */
  constructor(program: string, request: string) {
    this.#program = program;
    this.#request = request;
  }

  /** @throws Error when the host runs nothing */
  async check(signal: AbortSignal): Promise<void> {
    const { exit, stderr } = await capture(this.run({ argv: ['true'], signal }));
    if (exit.code === 0) return;
    const said = stderr.trim().split('\n').at(-1);
    throw new Error(said || `running true there ended with ${exit.code ?? exit.signal}`);
  }

  run(command: Command): Running {
    const { stdin, signal } = command;
    // What may have to end early is found on the host by its mark: that the program ends does not
    // say that what it started there does.
    const mark = signal || stdin instanceof Readable ? newMark() : undefined;
    const stop = new AbortController();
    if (signal?.aborted) stop.abort();
    try {
      const running = this.#start(
        { ...command, env: { ...command.env, ...(mark && { [markVariable]: mark }) } },
        mark ? stop.signal : undefined,
      );
      if (!mark) return running;
      const exit = this.#watch(running.exit, mark, stop, signal);
      exit.catch(() => undefined);
      return { ...running, exit };
    } catch (error) {
      const exit = Promise.reject(error);
      exit.catch(() => undefined);
      return { stdout: Readable.from([]), stderr: Readable.from([]), exit };
    }
  }

  close(): Promise<void> {
    return this.#local.close();
  }

  /** @throws SavepointError `defect` for words that no shell can be given */
  #start({ stdin, env, ...command }: Command, stop: AbortSignal | undefined): Running {
    return this.#local.run({
      argv: [this.#program, 'run', '/bin/sh', '-c', commandLine(command, env)],
      env: { [requestVariable]: this.#request },
      cwd: '/',
      ...(stdin !== undefined && { stdin }),
      ...(stop && { signal: stop }),
    });
  }

  async #watch(
    running: Promise<Exit>,
    mark: string,
    stop: AbortController,
    signal: AbortSignal | undefined,
  ): Promise<Exit> {
    let stopping: Promise<void> | undefined;
    const onAbort = () => {
      stopping = this.#kill(mark).finally(() => stop.abort());
    };
    signal?.addEventListener('abort', onAbort);
    try {
      const exit = await running;
      await stopping;
      return stopping ? bySignal(exit) : exit;
    } catch (error) {
      // Its input broke off: the program is gone, and what it ran may still wait for more.
      await this.#kill(mark);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Ends what carries the mark on the host. Whether that worked shows in the end of the command. */
  async #kill(mark: string): Promise<void> {
    const search = this.#start(killCommand(mark), AbortSignal.timeout(searchLimit));
    await capture(search).catch(() => undefined);
  }
}

/** A program can say by its status alone that a signal ended what it ran (XCU 2.8.2: 128 and more). */
function bySignal(exit: Exit): Exit {
  if (exit.code === 128 + 15) return { signal: 'SIGTERM' };
  return exit.code === 128 + 9 ? { signal: 'SIGKILL' } : exit;
}
