import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { launcher } from '../../src/transaction/launcher.ts';
import { folder } from './job-fixture.ts';

/**
 * Runs what a phase is launched by on a host whose systemd says so, and on which nobody sleeps: a
 * short nap is noted, and for one that would not end the plug is pulled.
 */
function launch(script: string, host: { says: string; reboot?: number }) {
  const bin = folder();
  const program = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  const naps = join(bin, 'naps');
  program('systemctl', `echo ${host.says}`);
  program('sleep', `echo "$1" >>'${naps}'; [ "$1" != 1 ] || kill -s KILL $PPID`);
  const { reboot } = host;
  const text = launcher({
    phase: 'test',
    script,
    env: {},
    nonce: 'f'.repeat(32),
    ...(reboot && { reboot }),
  });
  const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: bin, TMPDIR: bin };
  const { status, signal } = spawnSync('/bin/sh', ['-s'], { input: text, env });
  return { status, signal, naps: existsSync(naps) ? readFileSync(naps, 'utf8').trim() : '' };
}

test.each([
  ['has asked for the restart', 'exit 0'],
  ['was ended by it', 'kill -s TERM $$'],
])(
  'a host that goes down as expected takes the phase with it: a script that %s has no status',
  (_, script) => {
    const ended = launch(script, { says: 'stopping', reboot: 600 });
    expect(ended).toEqual({ status: null, signal: 'SIGKILL', naps: '1' });
  },
);

test('where the host does not say, one ended by a signal waits for what may be the end of the host', () => {
  expect(launch('kill -s TERM $$', { says: '', reboot: 600 })).toMatchObject({
    status: 143,
    naps: '15',
  });
});

test.each([
  ['the host stays up', 'exit 9', { says: 'running', reboot: 600 }, 9],
  ['no restart is expected', 'exit 9', { says: 'stopping' }, 9],
  ['it is ended by a signal, and no restart is expected', 'kill -s TERM $$', { says: '' }, 143],
] as const)('the status is told at once when %s', (_, script, host, status) => {
  expect(launch(script, host)).toEqual({ status, signal: null, naps: '' });
});
