import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SavepointError } from '../errors.ts';
import { digestOf } from '../guard/releases.ts';
import { guardVersion } from '../rehearsal/check.ts';
import { parseProofRecord, shortcomings } from './proof-record.ts';

/** A guard in a checkout of Savepoint, by where it lies there. */
export interface Released {
  version: string;
  sha256: string;
  /** Relative to the checkout. */
  path: string;
}

/**
 * Releases the candidate: copies guard/guard.sh to guard/releases/VERSION, byte for byte.
 * @param folder a checkout of Savepoint.
 * @throws SavepointError `bad-usage`; `guard-unproved` unless docs/proof.json is about these bytes.
 */
export function release(folder: string, version: string): Released {
  const candidate = read(folder, 'guard/guard.sh');
  const sha256 = digestOf(candidate);
  const said = guardVersion(candidate);
  if (said !== version) {
    throw refuse('The candidate says that it is another version.', said, version);
  }
  const released = releasesOf(folder);
  const path = `guard/releases/${version}/guard.sh`;
  if (released.includes(version)) {
    throw refuse(
      'That version is released already, and releases never change.',
      version,
      'a later one',
    );
  }
  const latest = released.sort(byVersion).at(-1);
  if (latest !== undefined && byVersion(version, latest) < 0) {
    throw refuse('A later version is released already.', version, `a version above ${latest}`);
  }
  const file = join(folder, 'docs/proof.json');
  const record = existsSync(file) ? parseProofRecord(readFileSync(file, 'utf8')) : undefined;
  const why = record ? shortcomings(record, sha256) : ['there is no record of it'];
  if (why.length > 0) {
    throw new SavepointError('guard-unproved', {
      message: `The proof in docs/proof.json does not hold for the candidate: ${why.join('; ')}.`,
      details: { candidate: sha256, proved: record?.guard },
      hint: 'Run `npm run proof`, all of it, on this candidate; then release it.',
    });
  }
  mkdirSync(join(folder, 'guard/releases', version));
  writeFileSync(join(folder, path), candidate, { mode: 0o644, flag: 'wx' });
  return { version, sha256, path };
}

/**
 * Promotes a release: guard/pin.json names it, and nothing else changes.
 * @param folder a checkout of Savepoint.
 * @throws SavepointError `bad-usage` when that would be one change with another: a candidate that
 *   is not committed, or a release that is not.
 */
export function promote(folder: string, version: string): Released {
  const path = `guard/releases/${version}/guard.sh`;
  const released = releasesOf(folder);
  if (!released.includes(version)) {
    throw refuse('There is no such release.', version, released.sort(byVersion).join(', '));
  }
  const changed = git(folder, 'status', '--porcelain', '--', 'guard/guard.sh', path);
  if (changed !== '') {
    throw refuse(
      'The pin moves in a change of its own, and these are not committed.',
      changed.split('\n').map((line) => line.slice(3)),
      'a checkout in which guard/pin.json is all that changes',
    );
  }
  const sha256 = digestOf(read(folder, path));
  const text = `${JSON.stringify({ version, sha256 }, null, 2)}\n`;
  writeFileSync(join(folder, 'guard/pin.json'), text);
  return { version, sha256, path };
}

function read(folder: string, path: string): string {
  const file = join(folder, path);
  if (existsSync(file)) return readFileSync(file, 'utf8');
  throw noCheckout(folder, `a folder with ${path}`);
}

/** Versions that are released, in no order. */
function releasesOf(folder: string): string[] {
  const releases = join(folder, 'guard/releases');
  if (!existsSync(releases)) throw noCheckout(folder, 'a folder with guard/releases');
  return readdirSync(releases);
}

function git(folder: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', ['-C', folder, ...words], {
    encoding: 'utf8',
  });
  if (status === 0) return stdout.trimEnd();
  throw noCheckout(folder, `a folder that git can tell about: ${stderr?.trim() || 'no git here'}`);
}

function noCheckout(folder: string, allowed: string) {
  return refuse('This is no checkout of Savepoint.', resolve(folder), allowed, 'DIR');
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function refuse(message: string, found: unknown, allowed: string, field = 'VERSION') {
  return new SavepointError('bad-usage', {
    message,
    place: { field },
    details: { found, allowed },
  });
}
