import type { KeyObject } from 'node:crypto';

/**
 * An Ed25519 key in OpenSSH's own container, unencrypted (OpenSSH, PROTOCOL.key): the only form
 * in which ssh2 takes one.
 */
export function openSshEd25519(key: KeyObject): string {
  const { x = '', d = '' } = key.export({ format: 'jwk' });
  const publicPart = Buffer.from(x, 'base64url');
  const secretPart = Buffer.from(d, 'base64url');
  const type = string('ssh-ed25519');
  // Two equal numbers, by which a reader sees that its decryption worked.
  const check = Buffer.alloc(8);
  const secret = Buffer.concat([
    check,
    type,
    string(publicPart),
    string(Buffer.concat([secretPart, publicPart])),
    string(''),
  ]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, (8 - (secret.length % 8)) % 8);
  const container = Buffer.concat([
    Buffer.from('openssh-key-v1\0', 'latin1'),
    string('none'),
    string('none'),
    string(''),
    Buffer.from([0, 0, 0, 1]),
    string(Buffer.concat([type, string(publicPart)])),
    string(Buffer.concat([secret, padding])),
  ]);
  const lines = container.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** RFC 4251 §5: the length as four bytes, then the bytes. */
function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
