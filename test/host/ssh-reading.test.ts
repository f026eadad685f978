/**
 * What comes from the network is read into memory that is used again (src/host/ssh-reading.ts):
 * nothing that is kept may lie in it, and what was changed on the way must not pass.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { openSsh } from '../../src/host/ssh.ts';
import { openConnection } from '../../src/host/ssh-connection.ts';
import { windowGrower } from '../../src/host/ssh-internals.ts';
import { prepareLogin } from '../../src/host/ssh-login.ts';
import { startSshd } from './sshd.ts';

/** A link to an sshd that changes one bit of what the sshd sends, once it is told to. */
async function spoilingLink(to: number) {
  let spoil = false;
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const target = connect(to, '127.0.0.1');
    sockets.push(client, target);
    for (const socket of [client, target]) socket.on('error', () => undefined);
    client.pipe(target);
    target.on('data', (bytes) => {
      // In the midst of what comes, where data are and no lengths.
      const middle = bytes.length >> 1;
      if (spoil && bytes.length > 1000) {
        bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
        spoil = false;
      }
      client.write(bytes);
    });
    target.once('close', () => client.destroy());
    client.once('close', () => target.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port was given.');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const spoilNext = () => {
    spoil = true;
  };
  return { port: address.port, spoilNext };
}

const ciphers = ['aes128-gcm@openssh.com', 'aes128-ctr', 'chacha20-poly1305@openssh.com'];

test.each(ciphers)('with %s, one changed bit ends the connection', async (cipher) => {
  await using sshd = await startSshd({ config: [`Ciphers ${cipher}`] });
  const link = await spoilingLink(sshd.port);
  const knownHosts = sshd.knownHostsLine.replaceAll(`:${sshd.port}`, `:${link.port}`);
  await using host = await openSsh(sshd.config({ port: link.port, knownHosts }));
  const { stdout, stderr, exit } = host.run({ argv: ['cat', '/dev/zero'] });
  stderr.resume();
  let seen = 0;
  stdout.on('data', (piece: Buffer) => {
    // All that comes out is what went in.
    if (!piece.equals(Buffer.alloc(piece.length))) throw new Error('A changed packet was taken.');
    if (seen < 1_000_000 && seen + piece.length >= 1_000_000) link.spoilNext();
    seen += piece.length;
  });
  const error = await exit.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SavepointError);
  expect(error).toMatchObject({ name: 'host-lost' });
});

test.each(ciphers)('with %s, what was read stays as it is while more comes', async (cipher) => {
  await using sshd = await startSshd({ config: ['RekeyLimit 1M', `Ciphers ${cipher}`] });
  await using host = await openSsh(sshd.config());
  const bytes = randomBytes(3_000_000);
  const { stdout, stderr, exit } = host.run({ argv: ['cat'], stdin: bytes });
  // Everything is here before anything is looked at.
  await delay(500);
  const [whole] = await Promise.all([buffer(stdout), buffer(stderr), exit]);
  expect(whole.equals(bytes)).toBe(true);
});

test('a reader that stops makes the host stop', async () => {
  await using sshd = await startSshd();
  await using host = await openSsh(sshd.config());
  const stop = new AbortController();
  const script = 'yes | head -c 64000000 | tee /dev/stderr | wc -c >counted';
  const running = host.run({ argv: ['sh', '-c', script], signal: stop.signal });
  const before = process.memoryUsage().arrayBuffers;
  await delay(1000);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16_000_000);
  stop.abort();
  running.stdout.resume();
  running.stderr.resume();
  await running.exit.catch(() => undefined);
});

test.each([
  { roundTrip: 0.5, most: 2 },
  { roundTrip: 50, most: 8 },
])('a round trip of $roundTrip ms lets $most MiB be under way', async ({ roundTrip, most }) => {
  await using sshd = await startSshd();
  const connection = await openConnection([await prepareLogin(sshd.config())]);
  onTestFinished(() => connection.end());
  const { channel } = await connection.exec('head -c 30000000 /dev/zero');
  const { incoming } = channel as unknown as { incoming: { window: number } };
  const grow = windowGrower(connection.client, channel, roundTrip);
  let widest = 0;
  channel.on('data', (piece: Buffer) => {
    grow(piece.length);
    widest = Math.max(widest, incoming.window);
  });
  await once(channel, 'end');
  expect(widest / 1024 / 1024).toBeGreaterThan(most - 0.1);
  expect(widest / 1024 / 1024).toBeLessThanOrEqual(most);
});
