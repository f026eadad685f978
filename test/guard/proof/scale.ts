import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guard, type Shell } from '../guard.ts';
import { tool } from '../tools.ts';
import { emptyTally, type Tally } from './tally.ts';

export const sizes = [10, 1000, 10_000, 100_000] as const;

/** Files that the change replaces, and so a rollback has to bring back, however many are tracked. */
export const changedFiles = 10;
const perDirectory = 500;

/**
 * Begin, apply and roll back with so many tracked files of 1 KiB, beside a `cp -a` of the same tree
 * made durable as a backup has to be, in the same run and on the machine's own disk. Notes:
 * milliseconds of `copy`, `begin`, `apply`, `rollback`, and processes of each verb.
 */
export function measure(files: number, guardFile: string, shell: Shell): Tally {
  const tally = emptyTally();
  const dir = mkdtempSync(join(tmpdir(), 'savepoint-scale-'));
  try {
    const root = join(dir, 'root');
    const overlay = fill(root, join(dir, 'overlay'), files);
    const guard = new Guard(root, guardFile, shell);
    guard.install();
    execFileSync('sync', ['-f', root]);
    tally.notes.copy = timed(() => {
      execFileSync('cp', ['-a', join(root, 'etc'), join(dir, 'copy')]);
      execFileSync('sync', ['-f', dir]);
    });
    rmSync(join(dir, 'copy'), { recursive: true });
    for (const counted of [false, true]) {
      const summary = join(dir, 'summary');
      const own = [`id ${counted ? 'counted' : 'timed'}`, 'token t', 'fence 1', `root ${root}`];
      const begin = ['holder scale', 'lease 3600', 'deadline 7200', 'track /etc/tracked'];
      const through = [tool('tracer'), '--summary', summary, '--under', '/nowhere', 'count', '--'];
      const steps = [
        ['begin', { headers: [...own, `guard ${guard.sha256}`, ...begin] }],
        ['apply', { headers: own, payload: overlay }],
        ['rollback', { headers: own }],
      ] as const;
      for (const [verb, call] of steps) {
        const spent = timed(() => {
          const answer = guard.call(verb, counted ? { ...call, through } : call);
          if (!answer.ok)
            throw new Error(`${verb} of ${files}: ${answer.error} ${answer.head} ${answer.stderr}`);
        });
        tally.runs++;
        if (!counted) tally.notes[verb] = spent;
        else {
          const processes = /processes=(\d+)/.exec(readFileSync(summary, 'utf8'))?.[1];
          tally.notes[`${verb} processes`] = Number(processes);
        }
      }
    }
    return tally;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A tree of so many files, and the archive that replaces some of them, each in its own directory. */
function fill(root: string, overlay: string, files: number): Buffer {
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  const directories = Math.max(changedFiles, files / perDirectory);
  for (let n = 0; n < files; n++) {
    const path = join('etc/tracked', `d${n % directories}`, `file${n}.conf`);
    if (n < directories) mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), `file ${n} ${'x'.repeat(1010)}\n`);
    if (n >= changedFiles) continue;
    mkdirSync(join(overlay, path, '..'), { recursive: true });
    writeFileSync(join(overlay, path), `new ${n}\n`);
  }
  return execFileSync('tar', ['-cf', '-', '-C', overlay, '.'], { maxBuffer: 1 << 26 });
}

function timed(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}
