import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host } from '../host/host.ts';
import type { PhaseCommand, PhaseProcess } from '../transaction/types.ts';

/**
 * Starts a phase on the machine this process runs on, in a process group of its own.
 * The script is run as the guard runs one: by its own interpreter when it names one, else by
 * `sh -e`, so that the first failing command fails the phase.
 */
export async function startOnController(
  local: Host,
  { script, env }: PhaseCommand,
  cwd: string,
): Promise<PhaseProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'savepoint-phase-'));
  const file = join(folder, 'script');
  await writeFile(file, script);
  await chmod(file, 0o700);
  const stop = new AbortController();
  const { stdout, stderr, exit } = local.run({
    argv: script.startsWith('#!') ? [file] : ['sh', '-e', file],
    env,
    cwd,
    signal: stop.signal,
  });
  const ended = exit.finally(() => rm(folder, { recursive: true, force: true }));
  return {
    stdout,
    stderr,
    exit: ended,
    kill: async () => {
      stop.abort();
      await ended.then(
        () => undefined,
        () => undefined,
      );
    },
  };
}
