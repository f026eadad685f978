import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { allBytes, bytesOf, digest, measure } from './bytes.ts';
import type { Subject } from './subject.ts';

/** What goes in and comes out. */
export function streams(subject: Subject): void {
  describe('streams', () => {
    test('every byte goes through unchanged both ways, NUL included', async () => {
      const bytes = Buffer.concat([allBytes(), randomBytes(1_000_000), Buffer.alloc(10_000)]);
      const running = subject.host.run({ argv: ['cat'], stdin: bytes });
      expect(digest(await bytesOf(running.stdout))).toBe(digest(bytes));
      expect(await running.exit).toEqual({ code: 0 });
    });

    test('input is taken from a stream, in pieces of any size', async () => {
      const pieces = Array.from({ length: 5000 }, (_, index) => randomBytes((index * 7) % 900));
      const running = subject.host.run({ argv: ['cat'], stdin: Readable.from(pieces) });
      expect(digest(await bytesOf(running.stdout))).toBe(digest(Buffer.concat(pieces)));
    });

    test('without input a command reads the end of the file at once', async () => {
      expect(await subject.run(['cat'])).toEqual({ exit: { code: 0 }, stdout: '', stderr: '' });
    });

    test('100 MB of output arrive whole, whatever comes on the other stream', async () => {
      const running = subject.host.run({
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
      const running = subject.host.run({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero; exit 3'] });
      await delay(700);
      let bytes = 0;
      for await (const chunk of running.stdout) {
        bytes += chunk.length;
        await delay(10);
      }
      expect([bytes, await running.exit]).toEqual([5_000_000, { code: 3 }]);
    });

    test('output can be read after the command has ended', async () => {
      const running = subject.host.run({ argv: ['sh', '-c', 'echo out; echo error >&2'] });
      expect(await running.exit).toEqual({ code: 0 });
      expect(String(await bytesOf(running.stdout))).toBe('out\n');
      expect(String(await bytesOf(running.stderr))).toBe('error\n');
    });

    test('a background child that holds the output does not hold up the exit', async () => {
      const { exit, stdout } = await subject.sh('sleep 600 & echo $!; exit 4');
      expect(exit).toEqual({ code: 4 });
      // It still runs, and so the exit did not wait for it.
      expect((await subject.sh(`kill ${stdout}`)).exit).toEqual({ code: 0 });
    });

    test('a command that stops reading its input early is no error', async () => {
      const endless = Readable.from(
        (async function* () {
          for (;;) yield Buffer.alloc(100_000, 'x');
        })(),
      );
      const { exit, stdout } = await subject.run(['head', '-c', '3'], { stdin: endless });
      expect({ exit, stdout }).toEqual({ exit: { code: 0 }, stdout: 'xxx' });
      expect(endless.destroyed).toBe(true);
    });

    test('a large input to a command that reads nothing is no error', async () => {
      const { exit } = await subject.run(['true'], { stdin: Buffer.alloc(30_000_000) });
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
      const file = `${subject.folder}/broken-input`;
      const running = subject.host.run({
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
}
