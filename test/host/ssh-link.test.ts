import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import type { Host } from '../../src/host/host.ts';
import { openHost } from '../../src/host/open.ts';
import type { SshTarget } from '../../src/host/ssh-target.ts';
import { type Relay, startRelay } from './relay.ts';
import { type Sshd, startSshd } from './sshd.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

const through = (relay: Relay, changes: Partial<SshTarget> = {}): SshTarget => ({
  ...sshd.config({
    port: relay.port,
    knownHosts: `[127.0.0.1]:${relay.port} ${sshd.hostKey('ed25519')}`,
  }),
  ...changes,
});
const echo = async (host: Host, word: string) =>
  (await capture(host.run({ argv: ['echo', word] }))).stdout;
/** A command that has proved to run: it has written its first line. */
async function started(host: Host) {
  const running = host.run({ argv: ['sh', '-c', 'echo ready; exec sleep 60'] });
  const lines: string[] = [];
  running.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(text));
  await once(running.stdout, 'data');
  return { ...running, lines };
}

describe('a host that cannot be reached', () => {
  const ends: (() => Promise<unknown>)[] = [];
  afterAll(() => Promise.all(ends.map((end) => end())));

  /** A server that is not sshd. */
  async function server(onConnection: (socket: Socket) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const listener: Server = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      onConnection(socket);
    });
    await once(listener.listen(0, '127.0.0.1'), 'listening');
    ends.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    });
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('No port was given.');
    return address.port;
  }

  test('nothing listens: the address and the port are named', async () => {
    const port = await server(() => undefined);
    await ends.pop()?.();
    await expect(openHost(sshd.config({ port }))).rejects.toMatchObject({
      name: 'host-unreachable',
      details: { tried: [`127.0.0.1 port ${port}: nothing listens there (ECONNREFUSED)`] },
    });
  });

  test('no such name', async () => {
    await expect(openHost(sshd.config({ name: 'no-such-host.invalid' }))).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('no-such-host.invalid'),
    });
  });

  test('it accepts the connection and says nothing', async () => {
    const port = await server(() => undefined);
    await expect(openHost(sshd.config({ port, connectTimeout: 1 }))).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('within 1 s'),
    });
  });

  test('it hangs up', async () => {
    const port = await server((socket) => socket.end());
    await expect(openHost(sshd.config({ port }))).rejects.toMatchObject({
      name: 'host-unreachable',
    });
  });

  test('it speaks something else', async () => {
    const port = await server((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(openHost(sshd.config({ port, connectTimeout: 1 }))).rejects.toMatchObject({
      name: 'host-unreachable',
    });
  });

  test('no algorithm in common', async () => {
    await using other = await startSshd({ config: ['Ciphers aes256-ctr'] });
    const target: SshTarget = { ...other.config(), ciphers: ['aes128-gcm@openssh.com'] };
    await expect(openHost(target)).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('cipher'),
    });
  });

  test('connecting can be given up', async () => {
    const port = await server(() => undefined);
    const abort = new AbortController();
    const opening = openHost(sshd.config({ port }), { signal: abort.signal });
    await delay(100);
    abort.abort();
    await expect(opening).rejects.toMatchObject({ name: 'job-cancelled' });
  });
});

describe('a connection that breaks', () => {
  test.each([
    ['the host dies', async (_: Relay) => void (await sshd.dropSessions())],
    ['the link is reset', async (relay: Relay) => relay.cut()],
  ])('under a command, because %s: the exit says what ran', async (_, breakIt) => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay));
    const running = await started(host);
    await breakIt(relay);
    await expect(running.exit).rejects.toMatchObject({
      name: 'host-lost',
      details: {
        host: `${sshd.user}@127.0.0.1:${relay.port}`,
        running: "sh -c 'echo ready; exec sleep 60'",
      },
    });
    // What came before is there, and the streams have their end.
    expect(running.lines.join('')).toBe('ready\n');
    expect(running.stdout.readableEnded).toBe(true);
  });

  test('half open: nobody answers, which is noticed in seconds', async () => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay, { aliveInterval: 0.2, aliveCountMax: 2 }));
    const running = await started(host);
    await delay(1000);
    relay.stall();
    await expect(running.exit).rejects.toMatchObject({
      name: 'host-lost',
      message: expect.stringContaining('nothing was heard'),
    });
  });

  test('a silent command on a link that works is left alone', async () => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay, { aliveInterval: 0.1, aliveCountMax: 1 }));
    const { exit } = await capture(host.run({ argv: ['sleep', '1.5'] }));
    expect(exit).toEqual({ code: 0 });
  });

  test('the next command connects again', async () => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay));
    expect(await echo(host, 'first')).toBe('first\n');
    relay.cut();
    await delay(50);
    expect(await echo(host, 'second')).toBe('second\n');
    expect(relay.connections).toBe(2);
  });

  test('a file that is being fetched ends with an error, not as if it were complete', async () => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay));
    const { stdout } = await capture(host.run({ argv: ['mktemp'] }));
    const path = stdout.trim();
    await capture(host.run({ argv: ['sh', '-c', `head -c 100000000 /dev/zero >${path}`] }));
    const contents = await host.fetch(path);
    const read = async () => {
      let bytes = 0;
      for await (const chunk of contents) {
        bytes += chunk.length;
        if (bytes > 1_000_000) relay.cut();
      }
    };
    await expect(read()).rejects.toMatchObject({ name: 'host-lost' });
    await capture(host.run({ argv: ['rm', path] }));
  });

  test('a file that is being sent is reported as not sent', async () => {
    await using relay = await startRelay({ to: sshd.port });
    await using host = await openHost(through(relay));
    const path = `${sshd.folder}/cut-off`;
    const endless = Readable.from(
      (async function* () {
        for (let piece = 0; ; piece++) {
          if (piece === 50) relay.cut();
          yield Buffer.alloc(100_000);
          await delay(1);
        }
      })(),
    );
    await expect(host.send(endless, path)).rejects.toMatchObject({ name: 'host-lost' });
    expect((await capture(host.run({ argv: ['test', '-e', path] }))).exit).toEqual({ code: 1 });
  });

  test('closing does not wait for a link that is dead', async () => {
    await using relay = await startRelay({ to: sshd.port });
    const host = await openHost(through(relay));
    relay.stall();
    await host.close();
  });
});

describe('a server with its own ideas', () => {
  test('one that forces a command cannot be told to stop it; that is said', async () => {
    await using forced = await startSshd({ keyOptions: 'command="echo ready; exec sleep 20"' });
    await using host = await openHost(forced.config());
    const abort = new AbortController();
    const running = host.run({ argv: ['anything'], signal: abort.signal });
    await once(running.stdout, 'data');
    abort.abort();
    await expect(running.exit).rejects.toMatchObject({
      name: 'host-lost',
      message: expect.stringContaining('did not confirm'),
    });
  });

  test('one that allows no sessions is reached but runs nothing', async () => {
    await using none = await startSshd({ config: ['MaxSessions 0'] });
    await using host = await openHost(none.config());
    await expect(host.run({ argv: ['true'] }).exit).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('runs no commands'),
    });
  });

  test('a command too long for it is refused before it is sent', async () => {
    await using host = await openHost(sshd.config());
    const running = host.run({ argv: ['echo', 'x'.repeat(200_000)] });
    await expect(running.exit).rejects.toMatchObject({
      message: expect.stringContaining('standard input'),
    });
  });
});

describe('round trips', () => {
  // On a busy machine an answer can come in two parts with something of ours between them, which
  // looks like one more. Nothing makes it look like less, so the least of several is the count.
  test('connecting and logging in take three, a command two more', async () => {
    await using relay = await startRelay({ to: sshd.port, delayMs: 100 });
    const least = { login: Number.POSITIVE_INFINITY, command: Number.POSITIVE_INFINITY };
    for (let attempt = 0; attempt < 10 && least.login + least.command > 5; attempt++) {
      const start = relay.turns;
      await using host = await openHost(through(relay));
      const loggedIn = relay.turns;
      expect(await echo(host, 'x')).toBe('x\n');
      least.login = Math.min(least.login, loggedIn - start);
      least.command = Math.min(least.command, relay.turns - loggedIn);
    }
    expect(least).toEqual({ login: 3, command: 2 });
  });
});
