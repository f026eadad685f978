import { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openSsh } from '../../src/host/ssh.ts';
import { openConnection } from '../../src/host/ssh-connection.ts';
import { prepareLogin } from '../../src/host/ssh-login.ts';
import { startSshd } from './sshd.ts';

/** What of ssh2's insides its speed hangs on (src/host/ssh-internals.ts). */
interface Insides {
  _protocol: {
    _cipher: { _encKey: unknown };
    _decipher: { _decipherKey: unknown };
  };
  _sock: Socket;
}

async function connected(config: readonly string[] = []) {
  const sshd = await startSshd({ config });
  onTestFinished(() => sshd.stop());
  const connection = await openConnection([await prepareLogin(sshd.config())]);
  onTestFinished(() => connection.end());
  return { connection, insides: connection.client as unknown as Insides };
}

test('keys of AES-GCM are parsed once, also those of a later key exchange', async () => {
  const { connection, insides } = await connected(['RekeyLimit 256K']);
  const { _protocol } = insides;
  expect(_protocol._cipher._encKey).toBeInstanceOf(KeyObject);
  expect(_protocol._decipher._decipherKey).toBeInstanceOf(KeyObject);
  const first = _protocol._cipher;
  const again = once(connection.client, 'handshake');
  const { channel } = await connection.exec('head -c 1000000 /dev/zero');
  await Promise.all([buffer(channel), again]);
  expect(_protocol._cipher).not.toBe(first);
  expect(_protocol._cipher._encKey).toBeInstanceOf(KeyObject);
  expect(_protocol._decipher._decipherKey).toBeInstanceOf(KeyObject);
});

test('the pieces of a packet are one write to the network', async () => {
  const { connection, insides } = await connected();
  const { _sock: socket } = insides;
  const writes = vi.spyOn(socket, '_write');
  const vectored = vi.spyOn(socket as Required<Socket>, '_writev');
  await connection.roundTrip();
  expect(writes).not.toHaveBeenCalled();
  // Length, contents, tag.
  expect(vectored.mock.calls.length).toBeGreaterThan(0);
  for (const [pieces] of vectored.mock.calls) expect(pieces.length % 3).toBe(0);
});

test.each(['aes128-gcm@openssh.com', 'aes256-ctr', 'chacha20-poly1305@openssh.com'])(
  'with %s, all bytes come through while keys change all the time',
  async (cipher) => {
    await using sshd = await startSshd({ config: ['RekeyLimit 256K', `Ciphers ${cipher}`] });
    await using host = await openSsh(sshd.config());
    const bytes = Buffer.alloc(5_000_000, 'all of it, in order. ');
    const pieces = Readable.from([bytes.subarray(0, 1_234_567), bytes.subarray(1_234_567)]);
    const { stdout, stderr, exit } = host.run({ argv: ['cat'], stdin: pieces });
    stderr.resume();
    expect((await buffer(stdout)).equals(bytes)).toBe(true);
    expect(await exit).toEqual({ code: 0 });
  },
);
