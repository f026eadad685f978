import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import type { Command, Host } from '../../src/host/host.ts';

/**
 * What every backend must do. It asks nothing of the host but a POSIX shell and the usual tools,
 * and looks at it only through the interface.
 */
export function describeHost(name: string, open: () => Promise<Host>): void {
  describe(`host ${name}`, () => {
    let host: Host;
    let folder: string;

    beforeAll(async () => {
      host = await open();
      folder = (await sh('mktemp -d')).stdout.trim();
    });
    afterAll(async () => {
      await run(['rm', '-rf', folder]);
      await host.close();
    });

    const run = (argv: Command['argv'], more: Omit<Command, 'argv'> = {}) =>
      capture(host.run({ argv, ...more }));
    const sh = (script: string, more: Omit<Command, 'argv'> = {}) =>
      run(['sh', '-c', script], more);
    const read = async (path: string) => {
      const chunks: Buffer[] = [];
      for await (const chunk of await host.fetch(path)) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    /** Waits for something on the host that a command there brings about. */
    const until = async (condition: string) => {
      for (let attempt = 0; attempt < 100; attempt++) {
        if ((await sh(condition)).exit.code === 0) return;
        await delay(50);
      }
      throw new Error(`This did not come true within 5 s: ${condition}`);
    };

    describe('exits', () => {
      test('a command ends with its status, each of 0 to 255', async () => {
        const statuses = Array.from({ length: 256 }, (_, status) => status);
        const found: (number | undefined)[] = [];
        for (let start = 0; start < 256; start += 16) {
          const batch = statuses.slice(start, start + 16);
          const exits = await Promise.all(batch.map((status) => sh(`exit ${status}`)));
          found.push(...exits.map(({ exit }) => exit.code));
        }
        expect(found).toEqual(statuses);
      });

      test.each(['SIGTERM', 'SIGKILL', 'SIGHUP', 'SIGINT', 'SIGSEGV', 'SIGABRT'])(
        'a command that is killed ends with its signal, %s',
        async (signal) => {
          const { exit } = await sh(`ulimit -c 0; kill -${signal.slice(3)} $$; sleep 5`);
          expect(exit).toEqual({ signal });
        },
      );

      test('a command that does not exist ends with 127 and says so', async () => {
        const { exit, stderr } = await run(['savepoint-no-such-command', 'x']);
        expect(exit.code).toBe(127);
        expect(stderr).toContain('savepoint-no-such-command');
      });

      test('a command that cannot be started ends with 126', async () => {
        const { exit, stderr } = await run([folder]);
        expect(exit.code).toBe(126);
        expect(stderr).toContain(folder);
      });

      test('many commands run at the same time, each with its own streams', async () => {
        const numbers = Array.from({ length: 20 }, (_, number) => number);
        const results = await Promise.all(
          numbers.map((number) =>
            sh(`sleep 0.2; read -r line; echo "$line"; echo error ${number} >&2; exit ${number}`, {
              stdin: `input ${number}\n`,
            }),
          ),
        );
        expect(results).toEqual(
          numbers.map((number) => ({
            exit: { code: number },
            stdout: `input ${number}\n`,
            stderr: `error ${number}\n`,
          })),
        );
      });
    });

    describe('streams', () => {
      test('every byte goes through unchanged both ways, NUL included', async () => {
        const bytes = Buffer.concat([allBytes(), randomBytes(1_000_000), Buffer.alloc(10_000)]);
        const running = host.run({ argv: ['cat'], stdin: bytes });
        expect(digest(await bytesOf(running.stdout))).toBe(digest(bytes));
        expect(await running.exit).toEqual({ code: 0 });
      });

      test('input is taken from a stream, in pieces of any size', async () => {
        const pieces = Array.from({ length: 5000 }, (_, index) => randomBytes((index * 7) % 900));
        const running = host.run({ argv: ['cat'], stdin: Readable.from(pieces) });
        expect(digest(await bytesOf(running.stdout))).toBe(digest(Buffer.concat(pieces)));
      });

      test('without input a command reads the end of the file at once', async () => {
        expect(await run(['cat'])).toEqual({ exit: { code: 0 }, stdout: '', stderr: '' });
      });

      test('100 MB of output arrive whole, whatever comes on the other stream', async () => {
        const running = host.run({
          argv: ['sh', '-c', 'yes error | head -c 1000000 >&2; yes 0123456789 | head -c 100000000'],
        });
        const [out, error, exit] = await Promise.all([
          measure(running.stdout),
          measure(running.stderr),
          running.exit,
        ]);
        const whole = Buffer.alloc(100_000_000, '0123456789\n');
        expect({ out, error: error.bytes, exit }).toEqual({
          out: { bytes: 100_000_000, sha256: digest(whole) },
          error: 1_000_000,
          exit: { code: 0 },
        });
      });

      test('output that is read late and slowly is still whole', async () => {
        const running = host.run({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero; exit 3'] });
        await delay(700);
        let bytes = 0;
        for await (const chunk of running.stdout) {
          bytes += chunk.length;
          await delay(10);
        }
        expect([bytes, await running.exit]).toEqual([5_000_000, { code: 3 }]);
      });

      test('output can be read after the command has ended', async () => {
        const running = host.run({ argv: ['sh', '-c', 'echo out; echo error >&2'] });
        expect(await running.exit).toEqual({ code: 0 });
        expect(String(await bytesOf(running.stdout))).toBe('out\n');
        expect(String(await bytesOf(running.stderr))).toBe('error\n');
      });

      test('a background child that holds the output does not hold up the exit', async () => {
        const began = performance.now();
        const { exit, stdout } = await sh('sleep 30 & echo started; exit 4');
        expect({ exit, stdout }).toEqual({ exit: { code: 4 }, stdout: 'started\n' });
        expect(performance.now() - began).toBeLessThan(5000);
      });

      test('a command that stops reading its input early is no error', async () => {
        const endless = Readable.from(
          (async function* () {
            for (;;) yield Buffer.alloc(100_000, 'x');
          })(),
        );
        const { exit, stdout } = await run(['head', '-c', '3'], { stdin: endless });
        expect({ exit, stdout }).toEqual({ exit: { code: 0 }, stdout: 'xxx' });
        expect(endless.destroyed).toBe(true);
      });

      test('a large input to a command that reads nothing is no error', async () => {
        const { exit } = await run(['true'], { stdin: Buffer.alloc(30_000_000) });
        expect(exit).toEqual({ code: 0 });
      });

      test('input that breaks off is an error, and the command does not take it as complete', async () => {
        const broken = Readable.from(
          (async function* () {
            yield 'half';
            await delay(50);
            throw new Error('the disk is gone');
          })(),
        );
        const file = `${folder}/broken-input`;
        const running = host.run({
          argv: ['sh', '-c', 'cat; echo complete >"$1"', 'sh', file],
          stdin: broken,
        });
        running.stdout.resume();
        await expect(running.exit).rejects.toMatchObject({
          name: 'host-write-failed',
          message: expect.stringContaining('the disk is gone'),
        });
      });
    });

    describe('words, environment and directory', () => {
      test.each([
        'plain',
        '',
        ' ',
        'two words',
        "it's",
        '"double"',
        "'",
        "''",
        '\\',
        '\\n',
        'new\nline',
        'tab\tand\rreturn',
        '$HOME ${HOME} $(id) `id`',
        '* ? [a-z] {a,b} ~ ~root',
        '# ; & | < > ( )',
        '!history !!',
        'a=b',
        '-n',
        '--',
        '%s %d',
        'größe-日本語-🚀',
        '\u0001\u001b[31m\u007f',
        'mixed \'single\' "double" $x `y` \\z\n',
      ])('a word arrives as it is: %j', async (word) => {
        const { stdout } = await run(['printf', '%s|', 'first', word, word, 'last']);
        expect(stdout).toBe(`first|${word}|${word}|last|`);
      });

      test('a command whose name needs quoting is found', async () => {
        const path = `${folder}/a b'c=d`;
        await host.send(Buffer.from('#!/bin/sh\necho "run $1"\n'), path, 0o755);
        expect((await run([path, 'it'])).stdout).toBe('run it\n');
      });

      test('the environment is added to, with any value', async () => {
        const env = { SAVEPOINT_TEST: `a 'b' "c" $d\n\\e`, EMPTY_ONE: '', ÜBER: 'x' };
        const { ÜBER: _, ...allowed } = env;
        const { stdout } = await sh('printf "%s|%s|%s" "$SAVEPOINT_TEST" "$EMPTY_ONE" "$PATH"', {
          env: allowed,
        });
        expect(stdout).toMatch(/^a 'b' "c" \$d\n\\e\|\|.*\/bin/);
      });

      test('a name that is none for a variable is refused', async () => {
        const running = host.run({ argv: ['true'], env: { 'A B': '1' } });
        await expect(running.exit).rejects.toThrow('cannot be the name');
      });

      test('a word with a NUL is refused', async () => {
        await expect(host.run({ argv: ['echo', 'a\0b'] }).exit).rejects.toThrow('NUL');
      });

      test('a command runs in the directory that is asked for', async () => {
        const odd = `${folder}/-odd 'name' $x`;
        await run(['mkdir', '--', odd]);
        expect((await run(['pwd'], { cwd: odd })).stdout).toBe(`${odd}\n`);
      });

      test('a directory that does not exist ends the command with 126', async () => {
        const { exit, stderr, stdout } = await sh('echo ran', { cwd: `${folder}/no-such-dir` });
        expect({ exit, stdout }).toEqual({ exit: { code: 126 }, stdout: '' });
        expect(stderr).toContain('no-such-dir');
      });
    });

    describe('stopping', () => {
      const stop = async (script: string, ready: string) => {
        const abort = new AbortController();
        const running = host.run({ argv: ['sh', '-c', script], signal: abort.signal });
        const output = bytesOf(running.stdout);
        running.stderr.resume();
        await until(ready);
        const began = performance.now();
        abort.abort();
        const exit = await running.exit;
        return { exit, took: performance.now() - began, output: String(await output) };
      };
      // What has ended but was not waited for by anybody counts as ended.
      const alive = async (file: string) =>
        (await sh(`grep '^State:' "/proc/$(cat ${file})/status" | grep -qv Z`)).exit.code === 0;

      test('an aborted command ends with SIGTERM', async () => {
        const ready = `${folder}/ready-1`;
        const { exit, took } = await stop(`: >${ready}; exec sleep 100`, `test -e ${ready}`);
        expect(exit).toEqual({ signal: 'SIGTERM' });
        expect(took).toBeLessThan(5000);
      });

      test('its children and grandchildren end too, those with a session of their own included', async () => {
        const child = `${folder}/child`;
        const grandchild = `${folder}/grandchild`;
        await stop(
          `sleep 100 & echo $! >${child}
           setsid sh -c 'echo $$ >${grandchild}; exec sleep 100' &
           wait`,
          `test -s ${child} && test -s ${grandchild}`,
        );
        expect([await alive(child), await alive(grandchild)]).toEqual([false, false]);
      });

      test('one that ignores SIGTERM is killed after the grace', async () => {
        const pid = `${folder}/stubborn`;
        const { exit, took } = await stop(
          `trap '' TERM; echo $$ >${pid}; while :; do sleep 0.1; done`,
          `test -s ${pid}`,
        );
        expect(exit).toEqual({ signal: 'SIGKILL' });
        expect(took).toBeGreaterThan(1500);
        expect(await alive(pid)).toBe(false);
      });

      test('one that tidies up at SIGTERM may do so, and its exit is what it says', async () => {
        const ready = `${folder}/ready-2`;
        const { exit, output } = await stop(
          `trap 'echo tidied; exit 7' TERM; : >${ready}; while :; do sleep 0.1; done`,
          `test -e ${ready}`,
        );
        expect({ exit, output }).toEqual({ exit: { code: 7 }, output: 'tidied\n' });
      });

      test('one whose signal is aborted already is not started', async () => {
        const file = `${folder}/not-started`;
        const running = host.run({
          argv: ['sh', '-c', `: >${file}`],
          signal: AbortSignal.abort(),
        });
        expect(await running.exit).toEqual({ signal: 'SIGTERM' });
        expect((await sh(`test -e ${file}`)).exit.code).toBe(1);
      });
    });

    describe('files', () => {
      test('a file is sent and fetched with every byte', async () => {
        const bytes = Buffer.concat([allBytes(), randomBytes(3_000_000)]);
        const path = `${folder}/-file with 'quotes' and\nnewline`;
        await host.send(bytes, path);
        expect(digest(await read(path))).toBe(digest(bytes));
      });

      test('a stream can be sent, and an empty file too', async () => {
        await host.send(Readable.from([Buffer.from('one '), Buffer.from('two')]), `${folder}/s`);
        await host.send(Buffer.alloc(0), `${folder}/empty`);
        expect(String(await read(`${folder}/s`))).toBe('one two');
        expect(await read(`${folder}/empty`)).toHaveLength(0);
      });

      test('a sent file is private unless another mode is asked for', async () => {
        await host.send(Buffer.from('x'), `${folder}/private`);
        await host.send(Buffer.from('x'), `${folder}/public`, 0o755);
        const { stdout } = await sh(`cd ${folder} && ls -l private public | cut -c1-10`);
        expect(stdout).toBe('-rw-------\n-rwxr-xr-x\n');
      });

      test('a file that is there already is not written to', async () => {
        const path = `${folder}/there`;
        await host.send(Buffer.from('first'), path);
        await expect(host.send(Buffer.from('second'), path)).rejects.toMatchObject({
          name: 'host-write-failed',
        });
        expect(String(await read(path))).toBe('first');
      });

      test('half a file is not left behind', async () => {
        const broken = Readable.from(
          (async function* () {
            yield 'half';
            throw new Error('gone');
          })(),
        );
        const path = `${folder}/half`;
        await expect(host.send(broken, path)).rejects.toMatchObject({ name: 'host-write-failed' });
        await until(`test ! -e ${path}`);
      });

      test('a directory that does not exist is an error', async () => {
        await expect(host.send(Buffer.from('x'), `${folder}/none/x`)).rejects.toMatchObject({
          name: 'host-write-failed',
        });
      });

      test('a file that does not exist is host-file-missing', async () => {
        await expect(host.fetch(`${folder}/no-such-file`)).rejects.toMatchObject({
          name: 'host-file-missing',
        });
      });

      test('a directory cannot be fetched', async () => {
        await expect(host.fetch(folder)).rejects.toMatchObject({ name: 'host-read-failed' });
      });

      test('a fetch need not be read to its end', async () => {
        await sh(`head -c 50000000 /dev/zero >${folder}/large`);
        for await (const chunk of await host.fetch(`${folder}/large`)) {
          expect(chunk[0]).toBe(0);
          break;
        }
        expect((await sh('echo still here')).stdout).toBe('still here\n');
      });
    });

    describe('closing', () => {
      test('a host can be closed twice, and ends what still runs', async () => {
        const other = await open();
        const pid = `${folder}/closed`;
        const running = other.run({
          argv: ['sh', '-c', `echo $$ >${pid}; exec sleep 100`],
          signal: new AbortController().signal,
        });
        await until(`test -s ${pid}`);
        await other.close();
        await other.close();
        expect(await running.exit).toEqual({ signal: 'SIGTERM' });
        expect((await sh(`kill -0 "$(cat ${pid})"`)).exit.code).not.toBe(0);
        expect(() => other.run({ argv: ['true'] })).toThrow('closed');
      });
    });
  });
}

function allBytes(): Buffer {
  return Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function measure(stream: Readable): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}
