import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { SshTarget } from '../host/ssh-target.ts';
import { type HostTarget, withoutKeyText } from '../host/target.ts';

/**
 * Copies what logs in to a host, and to those on the way to it, into a folder of its own, so that
 * the post step does not depend on files that the job may edit or delete meanwhile. The key's text
 * itself never leaves it.
 * @returns The host as later processes reach it.
 * @throws SavepointError `key-unreadable`, `known-hosts-missing`, `output-unwritable`.
 */
export function freezeCredentials<Host extends HostTarget>(host: Host, folder: string): Host;
export function freezeCredentials(host: HostTarget, folder: string): HostTarget {
  return host.type === 'ssh' ? freezeTarget(host, folder) : withoutKeyText(host);
}

function freezeTarget(host: SshTarget, folder: string): SshTarget {
  const { keyText, key, keyFiles, knownHostsFiles, revokedHostKeys, jumps, ...rest } = host;
  const keep = (name: string, text: string) => keepFile(folder, name, text);
  const text = keyText ?? (key === undefined ? undefined : readKey(key));
  const known = knownHostsFiles.map(readIfThere).join('');
  return {
    ...rest,
    ...(text !== undefined && { key: keep('key', text) }),
    ...(keyFiles && { keyFiles: keyFiles.flatMap((file, index) => keepKey(file, index, keep)) }),
    ...(revokedHostKeys !== undefined && {
      revokedHostKeys: keep('revoked_keys', readKnown(revokedHostKeys)),
    }),
    ...(jumps && {
      jumps: jumps.map((jump, index) => freezeTarget(jump, join(folder, `jump-${index}`))),
    }),
    knownHostsFiles: known === '' ? [] : [keep('known_hosts', known)],
  };
}

function keepFile(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new SavepointError('output-unwritable', {
      message: `The credentials cannot be kept for the post step: ${sentenceOf(error)}`,
      details: { file },
      cause: error,
    });
  }
  return file;
}

/** A key of ssh_config: one that is absent is skipped now as it would be then. */
function keepKey(
  file: string,
  index: number,
  keep: (name: string, text: string) => string,
): string[] {
  const publicKey = `${file}.pub`;
  if (!existsSync(file)) {
    // The public half alone still says which key of the agent is meant.
    return existsSync(publicKey) ? [keep(`key-${index}`, readKey(publicKey))] : [];
  }
  if (existsSync(publicKey)) keep(`key-${index}.pub`, readKey(publicKey));
  return [keep(`key-${index}`, readKey(file))];
}

/** Removes the copies; the last thing the post step does. */
export function removeCredentials(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

function readKey(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SavepointError('key-unreadable', { details: { found: file }, cause });
  }
}

/** Which of OpenSSH's own files there are differs from machine to machine. */
function readIfThere(file: string): string {
  return existsSync(file) ? readKnown(file).replace(/\n?$/, '\n') : '';
}

function readKnown(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SavepointError('known-hosts-missing', { details: { found: file }, cause });
  }
}
