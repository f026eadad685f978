import { KeyObject } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'ssh2';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openSsh } from '../../src/host/ssh.ts';
import { openConnection } from '../../src/host/ssh-connection.ts';
import { prepareLogin } from '../../src/host/ssh-login.ts';
import { reusePackets } from '../../src/host/ssh-packets.ts';
import { writeInLargeSteps } from '../../src/host/ssh-writing.ts';
import { startSshd } from './sshd.ts';

/** What of ssh2's insides its speed hangs on (src/host/ssh-internals.ts, ssh-packets.ts). */
interface Insides {
  _protocol: {
    _cipher: { _encKey: unknown; outSeqno: number; allocPacket(payload: number): Buffer };
    _decipher: { _decipherKey: unknown };
  };
  _sock: Socket;
}

/** The way packets are made, on a connection that is not there. */
function fakeCipher() {
  const client = new EventEmitter();
  const cipher = {
    _encKey: 'a key',
    allocPacket: (_payload: number) => Buffer.alloc(0),
    _onWrite: () => undefined,
  };
  reusePackets(Object.assign(client, { _protocol: { _cipher: cipher } }) as unknown as Client);
  client.emit('handshake');
  return cipher;
}

/** A server that begins to read late, and then gives all that came on one connection. */
async function slowReader(): Promise<{ port: number; received: Promise<Buffer> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const received = once(server, 'connection').then(async ([socket]) => {
    await delay(200);
    return buffer(socket as Socket);
  });
  return { port: (server.address() as AddressInfo).port, received };
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

test('what is written in one turn is one write to the network', async () => {
  const { connection, insides } = await connected();
  const { _sock: socket } = insides;
  const writes = vi.spyOn(socket, '_write');
  const vectored = vi.spyOn(socket as Required<Socket>, '_writev');
  const { _cipher: cipher } = insides._protocol;
  const before = cipher.outSeqno;
  await connection.roundTrip();
  // Length, contents and tag of a packet are one piece.
  expect(writes.mock.calls.length).toBeGreaterThan(0);
  expect(writes.mock.calls.length).toBeLessThanOrEqual(cipher.outSeqno - before);
  expect(vectored).not.toHaveBeenCalled();
});

test('what is still on its way is not overwritten by what follows', async () => {
  const { port, received } = await slowReader();
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  writeInLargeSteps(socket);
  const piece = Buffer.alloc(32_000);
  const pieces = 1000;
  for (let n = 0; n < pieces; n++) {
    // One memory for all of them.
    socket.write(piece.fill(n % 251));
    if (n % 100 === 0) await delay(1);
  }
  socket.end();
  const all = await received;
  expect(all.length).toBe(pieces * piece.length);
  for (let n = 0; n < pieces; n++) {
    const part = all.subarray(n * piece.length, (n + 1) * piece.length);
    expect(part.every((byte) => byte === n % 251)).toBe(true);
  }
});

test('what was written before the end is sent', async () => {
  const { port, received } = await slowReader();
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  writeInLargeSteps(socket);
  socket.write(Buffer.from('the last word'));
  socket.end();
  expect((await received).toString()).toBe('the last word');
});

test('packets of data are made in one place and padded with bytes that differ', async () => {
  const { insides } = await connected();
  const { _cipher: cipher } = insides._protocol;
  const packets = Array.from({ length: 3000 }, () => Buffer.from(cipher.allocPacket(20)));
  for (const packet of packets) {
    // RFC 4253 §6: length, padding length, payload, padding; all but the length fills blocks.
    expect(packet.readUInt32BE()).toBe(packet.length - 4);
    expect((packet.length - 4) % 16).toBe(0);
    expect(packet.readUInt8(4)).toBe(packet.length - 5 - 20);
  }
  const padding = packets.map((packet) => packet.subarray(25).toString('hex'));
  expect(new Set(padding).size).toBe(packets.length);
  const [first, second] = [cipher.allocPacket(32_000), cipher.allocPacket(30_000)];
  expect(first.buffer).toBe(second.buffer);
  expect(cipher.allocPacket(100_000).length).toBeGreaterThan(100_000);
});

test.each([0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16_383, 16_384, 32_777])(
  'a packet with a payload of %i bytes has at least 4 and at most 19 bytes of padding',
  async (payload) => {
    const { allocPacket } = fakeCipher();
    const packet = allocPacket(payload);
    const padding = packet.readUInt8(4);
    expect(padding).toBeGreaterThanOrEqual(4);
    expect(padding).toBeLessThanOrEqual(19);
    expect(packet.length).toBe(5 + payload + padding);
    expect((packet.length - 4) % 16).toBe(0);
  },
);

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
