import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

const day = 24 * 60 * 60 * 1000;

/** A host with one ended transaction, which others are made of. */
class Past extends Conversation {
  readonly #tx = join(this.guard.state, 'tx');

  constructor(file: string) {
    super(file);
    this.begin();
    this.ask('rollback');
  }

  /** A transaction that ended so many days ago. */
  put(id: string, days: number, outcome = 'rolled-back'): void {
    const to = join(this.#tx, id);
    cpSync(join(this.#tx, this.id), to, { recursive: true });
    if (outcome === '') execFileSync('rm', [join(to, 'outcome')]);
    else writeFileSync(join(to, 'outcome'), `${outcome}\n`);
    const when = new Date(Date.now() - days * day);
    for (const name of readdirSync(to)) utimesSync(join(to, name), when, when);
    utimesSync(to, when, when);
  }

  /** Gives it blocks, as the other versions of a conflict would have. */
  fill(id: string, mebibytes: number): void {
    const dir = join(this.#tx, id);
    mkdirSync(join(dir, 'theirs'), { recursive: true });
    execFileSync('fallocate', ['-l', `${mebibytes}MiB`, join(dir, 'theirs/file')]);
  }

  /** One more transaction, from begin to end; `meanwhile` runs when it is open. */
  another(meanwhile: (id: string) => void = () => undefined) {
    const line = 'id another';
    expect(this.begin(line)).toMatchObject({ ok: true });
    meanwhile('another');
    const ended = this.ask('commit', [line]);
    expect(ended.head).toContain('outcome committed');
  }

  /** What is kept of those that were put. */
  get kept(): string[] {
    return readdirSync(this.#tx)
      .filter((id) => id !== this.id)
      .sort();
  }
}

const named = (count: number) =>
  Array.from({ length: count }, (_, n) => `past-${String(n).padStart(2, '0')}`);

describe.each(guards)('%s keeps ended transactions for audit', (_which, file) => {
  test('twenty of them: the oldest go', () => {
    using it = new Past(file);
    // past-00 is the youngest of 25; the one that ends and the one that all are copies of count.
    for (const [n, id] of named(25).entries()) it.put(id, n / 24 + 0.01);
    it.another();
    expect(it.kept).toEqual(['another', ...named(18)]);
  });

  test('none goes while they are twenty', () => {
    using it = new Past(file);
    for (const id of named(18)) it.put(id, 29);
    it.another();
    expect(it.kept).toEqual(['another', ...named(18)]);
  });

  test('for thirty days', () => {
    using it = new Past(file);
    for (const [id, days] of [
      ['young', 29.9],
      ['old', 31.1],
      ['older', 400],
    ] as const)
      it.put(id, days);
    it.another();
    expect(it.kept).toEqual(['another', 'young']);
  });

  test('up to 256 MiB: the oldest go until the rest is smaller', () => {
    using it = new Past(file);
    for (const [n, id] of ['d', 'c', 'b', 'a'].entries()) {
      it.put(id, n + 1);
      it.fill(id, 100);
      utimesSync(join(it.guard.state, 'tx', id), new Date(), new Date(Date.now() - (n + 1) * day));
    }
    it.another();
    expect(it.kept).toEqual(['another', 'c', 'd']);
  });

  test('the one that ends stays, whatever its size', () => {
    using it = new Past(file);
    it.put('past', 1);
    it.another((id) => it.fill(id, 300));
    expect(it.kept).toEqual(['another']);
  });

  test.each([
    ['one that could not be rolled back', 'rollback-failed', 'clear'],
    ['one that has not ended', '', 'recover'],
  ])('%s, whatever its age and size', (_what, outcome, verb) => {
    using it = new Past(file);
    it.put('open', 400, outcome);
    it.fill('open', 300);
    for (const id of named(25)) it.put(id, 1);
    it.another();
    expect(it.kept).toEqual(['another', 'open']);
    expect(it.guard.call(verb, { headers: it.site }).ok).toBe(true);
    it.begin('id last');
    it.ask('rollback', ['id last']);
    expect(it.kept).toEqual(['last']);
  });

  test('status lists those that are kept', () => {
    using it = new Past(file);
    for (const id of named(25)) it.put(id, 1);
    it.another();
    const { head } = it.guard.call('status', { headers: it.site });
    expect(head.filter((line) => line.startsWith('past '))).toHaveLength(20);
  });
});
