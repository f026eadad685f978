import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { HostConfig } from '../job/host-config.ts';

/**
 * Copies what logs in to a host into a folder of its own, so that the post step does not depend
 * on files that the job may edit or delete meanwhile. The key's text itself never leaves it.
 * @returns The host as later processes reach it.
 * @throws SavepointError `key-unreadable`, `output-unwritable`.
 */
export function freezeCredentials(host: HostConfig, folder: string): HostConfig {
  if (host.type === 'local') return host;
  const { keyText, key, knownHostsFiles, ...rest } = host;
  const keep = (name: string, text: string): string => {
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
  };
  const text = keyText ?? (key === undefined ? undefined : readKey(key));
  const known = knownHostsFiles.map(readIfThere).join('');
  return {
    ...rest,
    ...(text !== undefined && { key: keep('key', text) }),
    knownHostsFiles: known === '' ? [] : [keep('known_hosts', known)],
  };
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
  try {
    return readFileSync(file, 'utf8').replace(/\n?$/, '\n');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    throw new SavepointError('known-hosts-missing', { details: { found: file }, cause: error });
  }
}
