import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GatheredWrites } from '../../src/transfer/gathered-writes.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'savepoint-writes-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

/** Pieces of odd sizes, each of another byte. */
const pieces = Array.from({ length: 200 }, (_, n) => Buffer.alloc(1 + ((n * 977) % 5000), n));

test('all pieces are written, in order, and only when there is enough or they are asked for', () => {
  const path = join(folder(), 'file');
  const descriptor = openSync(path, 'wx');
  onTestFinished(() => closeSync(descriptor));
  const writes = new GatheredWrites(descriptor);
  for (const piece of pieces.slice(0, 10)) writes.add(piece);
  expect(readFileSync(path).length).toBe(0);
  for (const piece of pieces.slice(10)) writes.add(piece);
  expect(readFileSync(path).length).toBeGreaterThan(0);
  writes.flush();
  expect(readFileSync(path).equals(Buffer.concat(pieces))).toBe(true);
});

test('what takes only a part is given the rest, and its error comes through', () => {
  const path = join(folder(), 'pipe');
  execFileSync('mkfifo', [path]);
  // A pipe that cannot wait takes what it has room for.
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(descriptor));
  const writes = new GatheredWrites(descriptor);
  const add = () => {
    for (const piece of pieces) writes.add(piece);
  };
  expect(add).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
  const taken = Buffer.alloc(1024 * 1024);
  const length = readSync(descriptor, taken);
  expect(length).toBeGreaterThan(0);
  expect(Buffer.concat(pieces).subarray(0, length).equals(taken.subarray(0, length))).toBe(true);
});
