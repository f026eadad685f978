import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { giveBack } from '../../src/host/give-back.ts';
import { Extractor } from '../../src/transfer/extract.ts';
import { TarReader } from '../../src/transfer/tar-reader.ts';
import { archiveOf } from './transfer-archives.ts';

/** Since Node 21. */
const can = 'transfer' in ArrayBuffer.prototype;

test.runIf(can)('memory that is all of a packet is given back', () => {
  const packet = Buffer.alloc(32_800, 1);
  giveBack(packet.subarray(10, 32_780));
  expect(packet.length).toBe(0);
});

test('memory of which the bytes are only a part stays', () => {
  const large = Buffer.alloc(100_000, 1);
  giveBack(large.subarray(0, 50_000));
  expect(large.length).toBe(100_000);
  // Out of Node's own pool.
  const small = Buffer.from('text');
  giveBack(small);
  expect(small.toString()).toBe('text');
});

test.each([16_384, 32_759, 40_000, 100_001])(
  'an archive in pieces of %i bytes comes out whole while its memory is given back',
  async (size) => {
    const folder = mkdtempSync(join(tmpdir(), 'savepoint-give-back-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const texts = [300_000, 10, 70_000, 16_384, 0, 1_000_000].map((length) =>
      randomBytes(length / 2).toString('hex'),
    );
    const archive = await archiveOf(texts.map((text, n) => ({ name: `${n}`, text })));
    const spent: Buffer[] = [];
    const limits = { size: 10_000_000, entries: 100 };
    using extractor = new Extractor({
      ...{ folder, limits },
      written: (pieces) => spent.push(...pieces),
    });
    const reader = new TarReader(extractor);
    for (let at = 0; at < archive.length; at += size) {
      reader.push(Buffer.from(archive.subarray(at, at + size)));
      for (const piece of spent.splice(0)) giveBack(piece);
    }
    reader.end();
    for (const [n, text] of texts.entries()) {
      expect(readFileSync(join(folder, `${n}`), 'utf8') === text).toBe(true);
    }
  },
);
