import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { type Line, LONGEST_LINE, lines } from '../../src/run/lines.ts';
import { masker } from '../../src/run/mask.ts';
import { merge } from '../../src/run/merge.ts';

async function linesOf(chunks: (string | Uint8Array)[], secrets: string[] = []): Promise<Line[]> {
  const source = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  const all: Line[] = [];
  for await (const batch of lines(source, masker(secrets))) all.push(...batch);
  return all;
}

test('lines come whole, however the chunks are cut', async () => {
  const text = 'one\ntwo\r\n\nüñî€😀\n';
  const expected = ['one', 'two', '', 'üñî€😀'].map((line) => ({ line }));
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size++) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    expect(await linesOf(chunks)).toEqual(expected);
  }
});

test('a last line without its newline is marked', async () => {
  expect(await linesOf(['done\nprompt> '])).toEqual([
    { line: 'done' },
    { line: 'prompt> ', partial: true },
  ]);
});

test('bytes that are no UTF-8 become replacement characters', async () => {
  const bytes = Uint8Array.of(0x61, 0xff, 0x62, 0x0a);
  expect(await linesOf([bytes])).toEqual([{ line: 'a\ufffdb' }]);
});

test('a very long line comes in pieces, none of which cuts a character', async () => {
  const long = `${'x'.repeat(LONGEST_LINE - 1)}😀${'y'.repeat(LONGEST_LINE)}`;
  const pieces = await linesOf([`${long}\nshort\n`]);
  expect(pieces.at(-1)).toEqual({ line: 'short' });
  expect(pieces.slice(0, -2).every(({ partial }) => partial)).toBe(true);
  expect(pieces.slice(0, -1).map(({ line }) => line)).toEqual([
    'x'.repeat(LONGEST_LINE - 1),
    `😀${'y'.repeat(LONGEST_LINE - 2)}`,
    'yy',
  ]);
});

test('an endless line does not wait for its end', async () => {
  const source = Readable.from(['z'.repeat(LONGEST_LINE * 3)].map((text) => Buffer.from(text)));
  const { value } = await lines(source, masker([])).next();
  expect(value).toHaveLength(2);
});

test('a secret is masked across chunks and across lines', async () => {
  expect(
    await linesOf(['pw hun', 'ter2\nfir', 'st\nsec', 'ond\n'], ['hunter2', 'first\nsecond']),
  ).toEqual([{ line: 'pw ***' }, { line: '***' }]);
});

test('merged sources come as they come, and a failing one fails the whole at its end', async () => {
  const bad = async function* () {
    yield 'a';
    throw new Error('broken');
  };
  const seen: string[] = [];
  const all = (async () => {
    for await (const value of merge([bad(), Readable.from(['b', 'c'])])) seen.push(value);
  })();
  await expect(all).rejects.toThrow('broken');
  expect(seen.sort()).toEqual(['a', 'b', 'c']);
});
