import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Sshd } from '../../host/sshd.ts';
import { actionFolder } from '../built.ts';
import { type JobFields, ScratchHost } from './scratch-host.ts';

export const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The guard that the built command carries, and its digest. */
export const pinned = readFileSync(join(actionFolder(), 'dist', 'guard.sh'));
export const sha256 = digestOf(pinned);

export const unknownDigest = 'f'.repeat(64);

/** The guard with one byte of a comment changed. */
export const oneByteOther = Buffer.from(pinned.toString().replace('Savepoint', 'savepoint'));

/** The guard with a command more: a file `trace` two directories above it, should it ever run. */
export const leavesTrace = Buffer.from(
  pinned.toString().replace('\n', '\n: >"${0%/*}/../trace"\n'),
);

/** A host with one tracked file, which has no guard yet. */
export function bareHost(sshd?: Sshd): ScratchHost {
  return new ScratchHost({ 'etc/lab.conf': { text: 'old\n' } }, ['/etc/lab.conf'], [], sshd);
}

/** A job that changes the file, if it gets that far. */
export function smallJob(host: ScratchHost): JobFields {
  const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
  return { files, phases: { test: 'echo it ran' } };
}

/** Where a guard of that digest is installed on a host. */
export function guardOf(host: ScratchHost, digest = sha256): string {
  return join(host.root, 'var/lib/savepoint/guard', digest, 'guard');
}

/** Puts bytes where the guard of that digest is looked for. */
export function install(host: ScratchHost, bytes: Buffer, digest = sha256): void {
  const path = guardOf(host, digest);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes, { mode: 0o755 });
}
