import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SavepointError, sentenceOf } from '../errors.ts';
import { places } from './places.ts';

/** An SSH key as its `.pub` file has it. */
export interface PublicKey {
  type: string;
  base64: string;
  comment: string;
  /** As `ssh-keygen -l` prints it. */
  fingerprint: string;
}

/** @throws SavepointError `bad-usage` for a file that cannot be read or holds no single public key. */
export function readPublicKey(file: string): PublicKey {
  const refuse = (message: string, cause?: unknown) =>
    new SavepointError('bad-usage', {
      message,
      place: { field: '--forced-command' },
      details: { found: file, allowed: 'a file with one line: type, key, comment' },
      cause,
    });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw refuse(`The public key cannot be read: ${sentenceOf(error)}`, error);
  }
  const key = parsePublicKey(text.trim());
  if (!key) throw refuse('The file holds no public SSH key, or more than that.');
  return key;
}

/** One line of a `.pub` file; undefined for anything else, also for lines with options. */
export function parsePublicKey(line: string): PublicKey | undefined {
  const [, type = '', base64 = '', comment = ''] =
    /^((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) ([A-Za-z0-9+/]{40,}={0,2})(?: ([\x20-\x7e]*))?$/.exec(line) ??
    [];
  const bytes = Buffer.from(base64, 'base64');
  // The key says its own type too (RFC 4253, 6.6); a private key or a cut one does not.
  if (type === '' || bytes.subarray(4, 4 + type.length).toString('latin1') !== type)
    return undefined;
  const hash = createHash('sha256').update(bytes).digest('base64').replace(/=+$/, '');
  return { type, base64, comment, fingerprint: `SHA256:${hash}` };
}

/** The line of authorized_keys that lets a key do nothing but run the gate (sshd(8)). */
export function forcedLine({ type, base64, comment }: PublicKey): string {
  return `restrict,command="${places.gate}" ${type} ${base64}${comment ? ` ${comment}` : ''}`;
}

/** Whether a line of authorized_keys is for this key, whatever its options. */
export function isFor(line: string, { base64 }: PublicKey): boolean {
  return ` ${line} `.includes(` ${base64} `);
}

/** Whether a line of authorized_keys leads to the gate. */
export function isForced(line: string): boolean {
  return line.startsWith(`restrict,command="${places.gate}" `);
}
