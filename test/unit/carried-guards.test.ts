import { expect, test } from 'vitest';
import { carriedGuards } from '../../scripts/carried-guards.mjs';
import { carried, releasedTexts } from '../../src/guard/carried.ts';

test('a bundle carries every released guard, byte for byte and in order', () => {
  const { pin, releases } = carried();
  const again = releasedTexts(pin.version, carriedGuards(releases, pin.version));
  expect(Object.entries(again)).toEqual(Object.entries(releases));
});

test('it is smaller by the lines that releases have in common', () => {
  const { pin, releases } = carried();
  const bytes = (value: unknown) => JSON.stringify(value).length;
  expect(bytes(carriedGuards(releases, pin.version))).toBeLessThan(bytes(releases) * 0.6);
});

test.each([
  ['one release', { '1.0.0': 'a\nb\n' }],
  ['an empty line, none at the end', { '1.0.0': 'a\n\nb', '1.1.0': '\n\na\nb' }],
  ['nothing in common', { '0.9.0': 'x', '1.0.0': 'a\nb\n', '1.1.0': 'x\ny' }],
])('it gives back %s', (_what, releases: Record<string, string>) => {
  expect(releasedTexts('1.0.0', carriedGuards(releases, '1.0.0'))).toEqual(releases);
});
