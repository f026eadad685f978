import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/guard/releases.ts';
import { promote, release } from '../../src/releasing/checkout.ts';
import { type ProofRecord, parseProofRecord } from '../../src/releasing/proof-record.ts';

const old = '#!/bin/sh\nVERSION=1.0.0 PROTOCOL=1\n';
const candidate = '#!/bin/sh\nVERSION=1.1.0 PROTOCOL=1\necho better\n';

const proof: ProofRecord = {
  date: '2026-11-20T12:00:00Z',
  command: 'npm run proof',
  guard: digestOf(candidate),
  whole: true,
  points: 12_345,
  lives: 20_000,
  violations: 0,
  mutants: { tried: 14, caught: 12, reasoned: 2 },
};

/** A checkout of Savepoint: a released guard, its pin, a candidate, the record of a proof or null. */
function checkout(record: unknown = proof) {
  const folder = mkdtempSync(join(tmpdir(), 'savepoint-checkout-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const put = (path: string, text: string) => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  put('guard/releases/1.0.0/guard.sh', old);
  put('guard/pin.json', JSON.stringify({ version: '1.0.0', sha256: digestOf(old) }));
  put('guard/guard.sh', candidate);
  if (record !== null) put('docs/proof.json', JSON.stringify(record));
  const git = (...words: string[]) =>
    execFileSync(
      'git',
      ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...words],
      { encoding: 'utf8' },
    );
  git('init', '-q');
  git('add', '.');
  git('commit', '-q', '-m', 'start');
  const commit = () => {
    git('add', '.');
    git('commit', '-q', '-m', 'more');
  };
  const read = (path: string) => readFileSync(join(folder, path), 'utf8');
  const checkRules = () =>
    execFileSync('node', [resolve('scripts/check-guard.mjs')], { cwd: folder, encoding: 'utf8' });
  return { folder, put, read, commit, git, checkRules };
}

describe('a candidate is released', () => {
  test('when the recorded proof was run on its very bytes', () => {
    const { folder, read, git, commit, checkRules } = checkout();
    const released = release(folder, '1.1.0');
    expect(released).toEqual({
      version: '1.1.0',
      sha256: digestOf(candidate),
      path: 'guard/releases/1.1.0/guard.sh',
    });
    expect(read(released.path)).toBe(candidate);
    expect(git('status', '--porcelain')).toBe('?? guard/releases/1.1.0/\n');
    commit();
    expect(checkRules()).toBe('');
  });

  test.each<[string, unknown, string]>([
    ['there is no record', null, 'there is no record of it'],
    ['the record is none', { guard: 'x' }, 'there is no record of it'],
    ['a number is missing', { ...proof, points: undefined }, 'there is no record of it'],
    ['it was another guard', { ...proof, guard: digestOf(old) }, `another guard, ${digestOf(old)}`],
    ['it found violations', { ...proof, violations: 3 }, '3 violations'],
    ['it was a sample', { ...proof, whole: false }, 'only a part'],
    ['it tried nothing', { ...proof, points: 0 }, 'no point'],
    [
      'no mutant was tried',
      { ...proof, mutants: { tried: 0, caught: 0, reasoned: 0 } },
      'no mutant',
    ],
    [
      'a mutant was not noticed',
      { ...proof, mutants: { ...proof.mutants, caught: 11 } },
      '1 mutants were not noticed',
    ],
  ])('not when %s', (_what, record, says) => {
    const { folder } = checkout(record);
    expect(() => release(folder, '1.1.0')).toThrow(
      expect.objectContaining({ name: 'guard-unproved', message: expect.stringContaining(says) }),
    );
    expect(existsSync(join(folder, 'guard/releases/1.1.0'))).toBe(false);
  });

  test('not when one byte of it has changed since', () => {
    const { folder, put } = checkout();
    put('guard/guard.sh', candidate.replace('better', 'Better'));
    expect(() => release(folder, '1.1.0')).toThrow(
      expect.objectContaining({ name: 'guard-unproved' }),
    );
  });

  test.each([
    ['it says that it is another version', '1.2.0', 'another version'],
    ['that version is released', '1.0.0', 'another version'],
  ])('not when %s', (_what, version, says) => {
    const { folder } = checkout();
    expect(() => release(folder, version)).toThrow(
      expect.objectContaining({ name: 'bad-usage', message: expect.stringContaining(says) }),
    );
  });

  test('not twice, and not below a later one', () => {
    const { folder, put } = checkout();
    release(folder, '1.1.0');
    expect(() => release(folder, '1.1.0')).toThrow(/released already/);
    const earlier = candidate.replace('1.1.0', '1.0.9');
    put('guard/guard.sh', earlier);
    put('docs/proof.json', JSON.stringify({ ...proof, guard: digestOf(earlier) }));
    expect(() => release(folder, '1.0.9')).toThrow(/later version/);
  });

  test('not outside a checkout', () => {
    expect(() => release(tmpdir(), '1.1.0')).toThrow(
      expect.objectContaining({ name: 'bad-usage', place: { field: 'DIR' } }),
    );
  });
});

describe('a release is promoted', () => {
  test('by the pin alone', () => {
    const { folder, read, git, commit, checkRules } = checkout();
    release(folder, '1.1.0');
    commit();
    promote(folder, '1.1.0');
    expect(JSON.parse(read('guard/pin.json'))).toEqual({
      version: '1.1.0',
      sha256: digestOf(candidate),
    });
    expect(git('status', '--porcelain')).toBe(' M guard/pin.json\n');
    commit();
    expect(checkRules()).toBe('');
  });

  test('not together with a candidate that is not committed', () => {
    const { folder, put, read, commit } = checkout();
    release(folder, '1.1.0');
    commit();
    put('guard/guard.sh', `${candidate}# next\n`);
    const before = read('guard/pin.json');
    expect(() => promote(folder, '1.1.0')).toThrow(
      expect.objectContaining({
        name: 'bad-usage',
        details: expect.objectContaining({ found: ['guard/guard.sh'] }),
      }),
    );
    expect(read('guard/pin.json')).toBe(before);
  });

  test('not before the release is committed, and never one that does not exist', () => {
    const { folder } = checkout();
    release(folder, '1.1.0');
    expect(() => promote(folder, '1.1.0')).toThrow(/not committed/);
    expect(() => promote(folder, '2.0.0')).toThrow(
      expect.objectContaining({ details: { found: '2.0.0', allowed: '1.0.0, 1.1.0' } }),
    );
  });

  test('not outside a checkout, nor in a copy that git knows nothing of', () => {
    const { folder } = checkout();
    rmSync(join(folder, '.git'), { recursive: true });
    for (const outside of [folder, join(folder, 'docs')]) {
      expect(() => promote(outside, '1.0.0')).toThrow(
        expect.objectContaining({ name: 'bad-usage', place: { field: 'DIR' } }),
      );
    }
  });
});

test('a record is read only when every part of it is there', () => {
  expect(parseProofRecord(JSON.stringify(proof))).toEqual(proof);
  for (const text of ['', '{', 'null', '[]', '"x"']) expect(parseProofRecord(text)).toBeUndefined();
  for (const key of Object.keys(proof)) {
    const rest = Object.fromEntries(Object.entries(proof).filter(([name]) => name !== key));
    expect(parseProofRecord(JSON.stringify(rest)), key).toBeUndefined();
  }
});
