import { execFile, spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { SavepointError, sentenceOf } from '../errors.ts';
import { unreachable } from './ssh-errors.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/*
 * Programs on this machine that ssh_config asks for and somebody allowed by name. Their command
 * lines are for a shell, as in OpenSSH, and have their tokens replaced already.
 */

const shell = '/bin/sh';

/** Not where the caller is: a later step of a CI is in a folder that the job may have changed. */
const cwd = '/';

/** The standard streams of a program that leads to the host (ssh_config(5), ProxyCommand). */
export function dialThrough(target: SshTarget, command: string): Duplex {
  const child = spawn(shell, ['-c', `exec ${command}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd,
  });
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
  child.once('error', (error) =>
    stream.destroy(unreachable(target, sentenceOf(error), { details: { through: command } })),
  );
  // A proxy that does not notice the end of its input would be left behind.
  stream.once('close', () => child.kill());
  return stream;
}

/**
 * What a program writes about the host's keys (ssh_config(5), KnownHostsCommand).
 * @throws SavepointError `known-hosts-missing` when it fails
 */
export async function askForKnownHosts(command: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(shell, ['-c', command], { cwd });
    return stdout;
  } catch (error) {
    throw new SavepointError('known-hosts-missing', {
      message: `KnownHostsCommand failed: ${sentenceOf(error)}`,
      details: { command },
      cause: error,
    });
  }
}

/**
 * Runs what is to be run once the host is connected to (ssh_config(5), LocalCommand).
 * @throws SavepointError `host-unreachable` when it fails, as a login that is not complete
 */
export async function runLocally(target: SshTarget, command: string): Promise<void> {
  try {
    await promisify(execFile)(shell, ['-c', command], { cwd });
  } catch (error) {
    throw new SavepointError('host-unreachable', {
      message: `LocalCommand for ${targetName(target)} failed: ${sentenceOf(error)}`,
      details: { command },
      cause: error,
    });
  }
}
