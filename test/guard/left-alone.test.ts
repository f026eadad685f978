import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { differences, snapshot } from './manifest.ts';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

async function change(...names: string[]): Promise<Buffer> {
  const archive = pack();
  for (const name of names) archive.entry({ name, mode: 0o644 }, 'new\n');
  archive.finalize();
  return await buffer(archive);
}

const kinds = ['fifo', 'socket', 'device'] as const;

/** A pipe, a socket that someone listens on, and a device, beside the files of /etc/lab. */
async function special(it: Conversation): Promise<Disposable> {
  const at = (name: string) => join(it.root, 'etc/lab', name);
  execFileSync('mkfifo', [at('fifo')]);
  execFileSync('mknod', [at('device'), 'c', '1', '3']);
  const server = createServer();
  await new Promise<void>((listening) => server.listen(at('socket'), listening));
  return { [Symbol.dispose]: () => void server.close() };
}

/** Half way through a file that is mostly a hole: bytes that no archive may lose or move. */
const size = 64 * 2 ** 20;
const middle = Buffer.from(`in the middle\n${'.'.repeat(9000)}`);

function makeSparse(path: string): void {
  const fd = openSync(path, 'w', 0o644);
  ftruncateSync(fd, size);
  writeSync(fd, middle, 0, middle.length, size / 2 + 77);
  closeSync(fd);
}

function readMiddle(path: string): Buffer {
  const fd = openSync(path, 'r');
  const bytes = Buffer.alloc(middle.length);
  readSync(fd, bytes, 0, bytes.length, size / 2 + 77);
  closeSync(fd);
  return bytes;
}

describe.each(guards)('%s', (_which, file) => {
  test.each(['commit', 'rollback'])(
    'a socket, a pipe and a device are named, and left alone over a %s',
    async (verb) => {
      using it = new Conversation(file);
      using _ = await special(it);
      const lab = join(it.root, 'etc/lab');
      const inodes = () => kinds.map((kind) => lstatSync(join(lab, kind)).ino);
      const before = snapshot(lab);
      const were = inodes();
      const { head } = it.begin();
      const warnings = head.filter((line) => line.startsWith('warning ')).sort();
      expect(warnings).toEqual(
        [...kinds]
          .sort()
          .map((kind) => `warning left alone (socket, pipe or device): /etc/lab/${kind}`),
      );
      const applied = it.ask('apply', ['remove /etc/lab/gone'], await change('etc/lab/file'));
      expect(applied.ok).toBe(true);
      expect(inodes()).toEqual(were);
      const decided = it.ask(verb);
      expect(decided.head.filter((line) => line.startsWith('warning ')).sort()).toEqual(warnings);
      expect(inodes()).toEqual(were);
      expect(it.file('etc/lab/file')).toBe(verb === 'commit' ? 'new\n' : 'old\n');
      if (verb === 'rollback') expect(differences(before, snapshot(lab))).toEqual([]);
    },
  );

  const lay = async (it: Conversation) =>
    expect(it.ask('apply', [], await change('etc/lab/sparse')).ok).toBe(true);
  const job = (script: string) => (it: Conversation) =>
    expect(it.exec(`cd "$SAVEPOINT_ROOT/etc/lab" && ${script}`).end).toBe('0');

  test.each<[how: string, write: (it: Conversation) => Promise<void> | void]>([
    ['that the change replaces', lay],
    [
      'whose middle the job writes to',
      job(`printf other | dd of=sparse bs=1 seek=${size / 2 + 99} conv=notrunc`),
    ],
    ['whose hole the job fills', job('head -c 2097152 /dev/zero | dd of=sparse conv=notrunc')],
    ['that the job removes', job('rm sparse')],
  ])('a sparse file %s comes back sparse, with its bytes where they were', async (_how, write) => {
    using it = new Conversation(file);
    const path = join(it.root, 'etc/lab/sparse');
    makeSparse(path);
    const begun = it.begin();
    expect(begun.ok).toBe(true);
    const bytes = begun.head.find((line) => line.startsWith('bytes '));
    expect(Number(bytes?.slice(6))).toBeLessThan(1 << 20);
    await write(it);
    expect(it.ask('rollback').head).toContain('outcome rolled-back');
    const { size: now, blocks } = statSync(path);
    expect(now).toBe(size);
    expect(blocks * 512).toBeLessThan(1 << 20);
    expect(readMiddle(path).equals(middle)).toBe(true);
  });
});
