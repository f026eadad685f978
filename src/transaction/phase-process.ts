import { randomBytes } from 'node:crypto';
import { ask, type GuardSite } from '../guard/client.ts';
import type { Fields } from '../guard/protocol.ts';
import { type Followed, Follower } from './follower.ts';
import { controllerEnvironment, launcher } from './launcher.ts';
import type { Link } from './link.ts';
import type { LastWord } from './trailer.ts';
import type { PhaseCommand, PhaseProcess } from './types.ts';

/** A phase's command as the guard runs it: `lost` is one whose host or supervisor is gone. */
export type GuardedProcess = Omit<PhaseProcess, 'exit'> & { exit: Promise<LastWord> };

/**
 * Starts a phase's command on the host, through the guard, so that all its descendants can be found.
 * Resolves once it runs. From then on it outlives its connection, where the guard keeps its output:
 * the streams go on over the next one.
 * @param signal Gives up starting it; what may have been started is killed before this rejects.
 * @throws SavepointError what the guard answered instead of starting it (`not-open`, `fenced`, ...);
 *   `host-lost`, `host-unreachable`
 */
export async function startPhase(
  site: GuardSite,
  credentials: Fields,
  command: PhaseCommand,
  link: Link,
  signal?: AbortSignal,
): Promise<GuardedProcess> {
  const resumable = keepsPhases(site.guard.version);
  const follower = new Follower(site, followed(site, credentials, command, resumable));
  const kill = async () => void (await link.again(() => ask(site, 'kill', credentials)));
  const starting = new AbortController();
  const giveUp = (): void => {
    if (!follower.isStarted) starting.abort(signal?.reason);
  };
  signal?.addEventListener('abort', giveUp);
  const exit = link
    .again(() => follower.attempt(), { repeatable: resumable, signal: starting.signal })
    .finally(() => {
      signal?.removeEventListener('abort', giveUp);
      follower.end();
    });
  // Awaited later; a rejection must not end Node until then.
  exit.catch(() => undefined);
  try {
    await Promise.race([follower.started, exit]);
  } catch (error) {
    if (starting.signal.aborted) await kill();
    throw error;
  }
  return { stdout: follower.stdout, stderr: follower.stderr, exit, kill };
}

/** From 1.1.0 on a guard keeps what a phase prints and how it ended. */
export function keepsPhases(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 1);
}

function followed(
  site: GuardSite,
  credentials: Fields,
  command: PhaseCommand,
  resumable: boolean,
): Followed {
  const nonce = randomBytes(16).toString('hex');
  const local = site.host.kind === 'local';
  const env = local ? { ...controllerEnvironment(process.env), ...command.env } : command.env;
  const cwd = local ? (command.env.SAVEPOINT_JOB_DIR ?? process.cwd()) : undefined;
  return {
    phase: command.phase,
    script: launcher({ ...command, env, nonce, ...(cwd !== undefined && { cwd }) }),
    fields: [
      ...credentials,
      ...(command.reboot === undefined ? [] : [['reboot', String(command.reboot)] as const]),
    ],
    nonce,
    resumable,
  };
}
