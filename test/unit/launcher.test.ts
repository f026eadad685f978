import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { launcher } from '../../src/transaction/launcher.ts';
import { folder } from './job-fixture.ts';

/**
 * Runs what a phase is launched by, where nobody sleeps: naps are only noted, once they have been told
 * to end, as all is by a host that goes down.
 */
function launch(script: string, reboot?: number) {
  const bin = folder();
  const naps = join(bin, 'naps');
  writeFileSync(join(bin, 'sleep'), `#!/bin/sh\nkill -s TERM $$\necho "$1" >>'${naps}'\n`);
  chmodSync(join(bin, 'sleep'), 0o755);
  const nonce = 'f'.repeat(32);
  const text = launcher({ phase: 'test', script, env: {}, nonce, ...(reboot && { reboot }) });
  const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: bin, TMPDIR: bin };
  const { status } = spawnSync('/bin/sh', ['-s'], { input: text, env });
  return { status, naps: existsSync(naps) ? readFileSync(naps, 'utf8').trim() : '' };
}

test.each([
  ['TERM', 143],
  ['KILL', 137],
  ['HUP', 129],
])(
  'a script that %s ended waits for what may be the end of its host, where a restart is expected',
  (signal, status) => {
    const script = `kill -s ${signal} $$`;
    expect(launch(script, 600)).toEqual({ status, naps: '15' });
    expect(launch(script)).toEqual({ status, naps: '' });
  },
);

test.each([0, 9, 255])('a status of its own is told at once: %i', (status) => {
  expect(launch(`exit ${status}`, 600)).toEqual({ status, naps: '' });
});
