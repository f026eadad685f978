import { describe, expect, test } from 'vitest';
import { masker } from '../../src/run/mask.ts';

/** Gives the text to the masker in pieces of one size. */
function inPieces(secrets: string[], text: string, size: number): string {
  const stream = masker(secrets).stream();
  let out = '';
  for (let at = 0; at < text.length; at += size) out += stream.push(text.slice(at, at + size));
  return out + stream.end();
}

describe('masking', () => {
  const key = '-----BEGIN KEY-----\nc2VjcmV0IG9uZQ\nc2VjcmV0IHR3bw\n-----END KEY-----\n';

  test.each([
    { what: 'a secret', secrets: ['hunter2'], text: 'pw=hunter2;', shown: 'pw=***;' },
    { what: 'every time it comes', secrets: ['ab'], text: 'ab ab', shown: '*** ***' },
    { what: 'the longest first', secrets: ['pass', 'password'], text: 'password', shown: '***' },
    { what: 'overlapping ones', secrets: ['abX', 'Xcd'], text: '-abXcd-', shown: '-***-' },
    { what: 'one that overlaps itself', secrets: ['aa'], text: 'baaab', shown: 'b***b' },
    { what: 'no pattern', secrets: ['a.c*'], text: 'abc a.c*', shown: 'abc ***' },
    { what: 'a multi-line secret', secrets: [key], text: `[${key}]`, shown: '[***]' },
    { what: 'each line of it', secrets: [key], text: 'x c2VjcmV0IHR3bw x', shown: 'x *** x' },
    { what: 'nothing for an empty one', secrets: ['', '\n'], text: 'a\nb', shown: 'a\nb' },
    { what: 'no short line of it', secrets: ['{\nlong-one\n}'], text: '{ }', shown: '{ }' },
    { what: 'a near miss not', secrets: ['hunter2'], text: 'hunter', shown: 'hunter' },
  ])('hides $what, whatever the chunks', ({ secrets, text, shown }) => {
    for (let size = 1; size <= text.length; size++) {
      expect(inPieces(secrets, text, size)).toBe(shown);
    }
  });

  test('holds back only what may still become a secret', () => {
    const stream = masker(['hunter2']).stream();
    expect(stream.push('user hun')).toBe('user ');
    expect(stream.push('gry')).toBe('hungry');
  });

  test('reaches every string of a value', () => {
    const masked = masker(['s3cret']).value({ a: ['x s3cret'], b: { c: 's3cret' }, d: 1 });
    expect(masked).toEqual({ a: ['x ***'], b: { c: '***' }, d: 1 });
  });
});
