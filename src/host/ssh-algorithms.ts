import type { CipherAlgorithm, KexAlgorithm, MacAlgorithm, ServerHostKeyAlgorithm } from 'ssh2';

/** What is offered unless told otherwise, in this order, and what can be asked for besides. */
export interface AlgorithmList<T extends string> {
  readonly usual: readonly T[];
  readonly legacy: readonly T[];
}

/** The cheapest key exchange first: one elliptic curve step on either side. */
export const kexAlgorithms: AlgorithmList<KexAlgorithm> = {
  usual: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group-exchange-sha256',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
  ],
  legacy: [
    'diffie-hellman-group-exchange-sha1',
    'diffie-hellman-group14-sha1',
    'diffie-hellman-group1-sha1',
  ],
};

/** The fastest cipher first, on any processor with AES instructions. */
export const ciphers: AlgorithmList<CipherAlgorithm> = {
  usual: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
    'chacha20-poly1305@openssh.com',
  ],
  legacy: ['aes128-cbc', 'aes192-cbc', 'aes256-cbc', '3des-cbc'],
};

export const macs: AlgorithmList<MacAlgorithm> = {
  usual: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    'hmac-sha1-etm@openssh.com',
    'hmac-sha2-256',
    'hmac-sha2-512',
    'hmac-sha1',
  ],
  legacy: ['hmac-sha1-96', 'hmac-md5'],
};

/** What OpenSSH accepts by default and ssh2 knows; SHA-1 signatures are left out. */
export const hostKeyAlgorithms: AlgorithmList<ServerHostKeyAlgorithm> = {
  usual: [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ],
  legacy: ['ssh-rsa'],
};
