import { type ChildProcess, spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { asSavepointError, SavepointError, sentenceOf } from '../errors.ts';
import { feed } from './feed.ts';
import type { Command, Exit, Host, Running } from './host.ts';
import { fetchLocal, sendLocal } from './local-files.ts';
import { drained, Output } from './output.ts';
import { killTree, markVariable, newMark } from './processes.ts';
import { checkVariableName, quoteWord } from './quote.ts';

/** The machine this process runs on. */
export function openLocal(): Host {
  return new LocalHost();
}

class LocalHost implements Host {
  readonly name = 'local';
  readonly kind = 'local';
  readonly #running = new Set<AbortController>();
  readonly #exits = new Set<Promise<Exit>>();
  #closed = false;

  run(command: Command): Running {
    if (this.#closed) {
      throw new SavepointError('defect', { message: 'A command was started on a closed host.' });
    }
    const stop = new AbortController();
    const stdout = new Output();
    const stderr = new Output();
    const exit = execute(command, stdout, stderr, stop).finally(() => {
      this.#running.delete(stop);
      this.#exits.delete(exit);
    });
    // Whoever awaits it is told; until then a reader may still be busy with the output.
    exit.catch(() => undefined);
    this.#running.add(stop);
    this.#exits.add(exit);
    return { stdout, stderr, exit };
  }

  send = sendLocal;
  fetch = fetchLocal;

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#running) stop.abort();
    await Promise.allSettled(this.#exits);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function execute(
  command: Command,
  stdout: Output,
  stderr: Output,
  stop: AbortController,
): Promise<Exit> {
  const abort = () => stop.abort();
  try {
    if (command.signal?.aborted) return { signal: 'SIGTERM' };
    command.signal?.addEventListener('abort', abort);
    return await supervise(command, stdout, stderr, stop);
  } finally {
    command.signal?.removeEventListener('abort', abort);
    stdout.finish();
    stderr.finish();
  }
}

async function supervise(
  command: Command,
  stdout: Output,
  stderr: Output,
  stop: AbortController,
): Promise<Exit> {
  // Only what may be stopped early carries a mark: descendants that are to outlive their
  // command, such as the guard's watchdog, must not be found by it.
  const mark = command.signal && newMark();
  const started = await start(command, mark);
  if ('refusal' in started) {
    stderr.push(`${started.refusal}\n`);
    return { code: started.code };
  }
  const { child, pid } = started;
  if (child.stdout) stdout.attach(child.stdout);
  if (child.stderr) stderr.attach(child.stderr);
  let failure: unknown;
  let killing: Promise<void> | undefined;
  const kill = () => {
    killing ??= killTree(pid, mark);
  };
  stop.signal.addEventListener('abort', kill);
  if (stop.signal.aborted) kill();
  if (child.stdin) {
    feed(command.stdin, child.stdin, command.argv[0]).catch((error) => {
      failure = error;
      kill();
    });
  }
  const exit = await new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? { code: code ?? 0 } : { signal }),
    );
  });
  await killing;
  // What the command wrote is in the pipe by now: one turn of the event loop reads it.
  await drained([stdout, stderr], stop.signal, async () => void (await setImmediate()));
  child.stdout?.destroy();
  child.stderr?.destroy();
  if (failure !== undefined) throw failure;
  return exit;
}

type Started = { child: ChildProcess; pid: number } | { refusal: string; code: 126 | 127 };

/** Starts the command in a session of its own; answers as a shell does when it cannot. */
async function start(command: Command, mark: string | undefined): Promise<Started> {
  const [file, ...args] = command.argv;
  for (const name of Object.keys(command.env ?? {})) checkVariableName(name);
  // The same refusal of NUL as where the words go through a shell.
  command.argv.forEach(quoteWord);
  try {
    const child = spawn(file, args, {
      // A group of its own, so that a kill reaches the command's children too.
      detached: true,
      stdio: 'pipe',
      env: { ...process.env, ...command.env, ...(mark && { [markVariable]: mark }) },
      ...(command.cwd !== undefined && { cwd: command.cwd }),
    });
    const { pid } = child;
    if (pid !== undefined) return { child, pid };
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    return await refusal(command, error);
  } catch (error) {
    return await refusal(command, error);
  }
}

/** POSIX.1-2024, XCU 2.8.2: 127 for a command that is not found, 126 for one that cannot start. */
async function refusal(command: Command, error: unknown): Promise<Started> {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const { argv, cwd } = command;
  if (cwd !== undefined) {
    const folder = await stat(cwd).catch(() => undefined);
    if (!folder?.isDirectory()) return { refusal: `cd: ${cwd}: no such directory`, code: 126 };
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return { refusal: `${argv[0]}: not found`, code: 127 };
  }
  if (code === 'EACCES' || code === 'ENOEXEC' || code === 'E2BIG') {
    return { refusal: `${argv[0]}: ${sentenceOf(error)}`, code: 126 };
  }
  // Node refused an argument, such as a NUL in a directory's name.
  if (typeof code !== 'string' || code.startsWith('ERR_')) throw asSavepointError(error);
  throw new SavepointError('host-unreachable', {
    message: `This machine cannot start ${argv[0]}: ${sentenceOf(error)}`,
    cause: error,
  });
}
