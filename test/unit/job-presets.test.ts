import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { presetNames, presetOf } from '../../src/job/presets.ts';
import { pathProblem } from '../../src/job/tracked-paths.ts';
import { folder } from './job-fixture.ts';

describe.each(presetNames)('the preset %s', (name) => {
  const { paths, refresh, probe } = presetOf(name);

  test('tracks paths that a job could track itself', () => {
    for (const path of paths) expect(pathProblem(path, '/')).toBeUndefined();
  });

  test.each(Object.entries({ refresh, probe }))('%s is shell that parses', (_, script) => {
    const { status, stderr } = spawnSync('sh', ['-n'], { input: script ?? '', encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test.each(Object.entries({ refresh, probe }))('%s does nothing without the tool', (_, script) => {
    const { status } = spawnSync('/bin/sh', ['-c', script ?? ''], {
      env: { PATH: '/nonexistent' },
    });
    expect(status).toBe(0);
  });
});

/** A folder for PATH in which apt-get prints and exits as told; the rest is the machine's. */
function fakeApt(script: string): string {
  const bin = folder({ 'apt-get': `#!/bin/sh\n${script}\n` });
  spawnSync('chmod', ['+x', join(bin, 'apt-get')]);
  return `${bin}:${process.env.PATH}`;
}

// The program is a stand-in only for its exit status: real mirrors are in the host tests.
test.each([
  ['answers', 'echo Hit:1', 0],
  ['is refused', 'echo E: broken; exit 100', 100],
  ['is dead, of which an old apt-get only warns', 'echo "W: Failed to fetch http://x" >&2', 100],
])('the probe of apt notices a mirror that %s', (_, script, status) => {
  const env = { PATH: fakeApt(script) };
  expect(spawnSync('sh', ['-c', presetOf('apt').probe ?? ''], { env }).status).toBe(status);
});

test('the refresh of apt leaves no list, not even half of one', () => {
  const root = folder();
  const lists = join(root, 'var/lib/apt/lists');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  mkdirSync(join(lists, 'auxfiles'));
  for (const name of ['lock', 'mirror_Release', 'partial/mirror_Packages', 'auxfiles/x']) {
    writeFileSync(join(lists, name), '');
  }
  const script = (presetOf('apt').refresh ?? '').replaceAll('/var/', `${root}/var/`);
  const { status } = spawnSync('sh', ['-c', script], { env: { PATH: fakeApt('exit 0') } });
  expect(status).toBe(0);
  expect(readdirSync(lists).sort()).toEqual(['lock', 'partial']);
  expect(existsSync(join(lists, 'partial/mirror_Packages'))).toBe(false);
});
