import { createPublicKey } from 'node:crypto';

/** The line for authorized_keys of an Ed25519 key in PEM, which ssh-keygen cannot read. */
export function publicLine(pem: string): string {
  const { x = '' } = createPublicKey(pem).export({ format: 'jwk' });
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = [field(Buffer.from('ssh-ed25519')), field(Buffer.from(x, 'base64url'))];
  return `ssh-ed25519 ${Buffer.concat(blob).toString('base64')}`;
}
