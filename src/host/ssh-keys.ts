import { createPrivateKey, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import ssh2, { type ParsedKey } from 'ssh2';
import { SavepointError, sentenceOf } from '../errors.ts';
import { fingerprint } from './known-hosts.ts';
import { openSshEd25519 } from './openssh-ed25519.ts';

/** The environment variable that holds the passphrase of an encrypted key. */
export const passphraseVariable = 'SAVEPOINT_KEY_PASSPHRASE';

const header = /^-----BEGIN ([A-Z0-9 ]+)-----/m;

/**
 * Reads a private key file the way OpenSSH does: one that others may read is refused.
 * @throws SavepointError `key-missing`, `key-unreadable`.
 */
export async function readKeyFile(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { mode, uid } = await file.stat();
    // OpenSSH, authfile.c: the rule is for files of one's own; 077 is what nobody else may have.
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) throw tooOpen(path, mode);
    return await file.readFile('utf8');
  } catch (error) {
    if (error instanceof SavepointError) throw error;
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new SavepointError(missing ? 'key-missing' : 'key-unreadable', {
      message: missing
        ? `There is no key file ${path}.`
        : `The key file ${path} cannot be read: ${sentenceOf(error)}`,
      details: { file: path },
      cause: error,
    });
  }
}

function tooOpen(path: string, mode: number): SavepointError {
  return new SavepointError('key-unreadable', {
    message: `The key file ${path} may be read by others, so it is not used.`,
    details: { file: path, mode: (mode & 0o777).toString(8).padStart(4, '0') },
    hint: `chmod 600 ${path}`,
  });
}

/**
 * A private key in any form people have: OpenSSH's own, PEM (PKCS#1, SEC 1), PKCS#8 or PuTTY's
 * version 2, encrypted or not. Line ends of Windows and a lost last newline, both common in CI
 * secrets, do no harm.
 * @param source where it came from, for errors; the text itself is never shown
 * @throws SavepointError `key-bad`
 */
export function parsePrivateKey(text: string, source: string, passphrase?: string): ParsedKey {
  const pem = `${text.replaceAll('\r', '').trim()}\n`;
  const format = header.exec(pem)?.[1] ?? '';
  if (format.includes('PUBLIC') || /^(ssh|ecdsa|sk)-\S+ AAAA/.test(pem)) {
    throw bad(source, 'is a public key; the private one is needed');
  }
  if (!format && !pem.startsWith('PuTTY-User-Key-File-')) {
    const folded = pem.includes('\\n') ? ' (it has \\n where line breaks belong)' : '';
    throw bad(source, `does not begin as a private key does${folded}`);
  }
  if (isEncrypted(pem, format) && passphrase === undefined) {
    throw bad(source, 'is encrypted and no passphrase is known', {
      hint: `Set ${passphraseVariable} in the environment, or use an agent.`,
    });
  }
  const isOpenSsh = format === 'OPENSSH PRIVATE KEY' || format === '';
  const key = ssh2.utils.parseKey(
    isOpenSsh ? pem : toOpenSsh(pem, source, passphrase),
    isOpenSsh ? passphrase : undefined,
  );
  // Files hold one key; the parser answers with a list when it is in OpenSSH's format.
  const first: unknown = Array.isArray(key) ? key[0] : key;
  if (isParsedKey(first)) return first;
  const encrypted = isEncrypted(pem, format);
  throw bad(source, encrypted ? 'cannot be decrypted' : 'cannot be parsed', {
    cause: first,
    ...(encrypted && { hint: `Is the passphrase in ${passphraseVariable} the right one?` }),
  });
}

/** Type and fingerprint, for people. */
export function describeKey(key: ParsedKey): string {
  return `${key.type} ${fingerprint(key.getPublicSSH())}`;
}

function isParsedKey(key: unknown): key is ParsedKey {
  return typeof key === 'object' && key !== null && !(key instanceof Error) && 'sign' in key;
}

function isEncrypted(pem: string, format: string): boolean {
  if (format === 'OPENSSH PRIVATE KEY') return openSshCipher(pem) !== 'none';
  if (format === '') return /^Encryption: (?!none)/m.test(pem);
  return format === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: 4,ENCRYPTED/m.test(pem);
}

/** Name of the cipher, the first field after the magic (OpenSSH, PROTOCOL.key). */
function openSshCipher(pem: string): string {
  const body = Buffer.from(pem.replace(/-----[^\n]*-----/g, ''), 'base64');
  const start = 'openssh-key-v1\0'.length;
  if (body.length < start + 4) return 'none';
  return body.toString('latin1', start + 4, start + 4 + body.readUInt32BE(start));
}

/** Node's crypto reads every PEM there is; ssh2 reads only some of them. */
function toOpenSsh(pem: string, source: string, passphrase: string | undefined): string {
  let key: KeyObject;
  try {
    key = createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase });
  } catch (error) {
    throw bad(source, passphrase === undefined ? 'cannot be parsed' : 'cannot be decrypted', {
      cause: error,
      hint: `Is it whole, and is the passphrase in ${passphraseVariable}, if it needs one, the right one?`,
    });
  }
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return key.export({ type: 'pkcs1', format: 'pem' }).toString();
    case 'ec':
      return key.export({ type: 'sec1', format: 'pem' }).toString();
    case 'ed25519':
      return openSshEd25519(key);
    default:
      throw bad(source, `is of the type ${key.asymmetricKeyType}, which SSH has no use for`, {
        hint: 'Use an Ed25519, ECDSA or RSA key.',
      });
  }
}

function bad(source: string, what: string, more: { hint?: string; cause?: unknown } = {}) {
  return new SavepointError('key-bad', {
    message: `The SSH key from ${source} ${what}.`,
    details: { source },
    ...more,
  });
}
