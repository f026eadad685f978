import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { differences, type Manifest, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { guardOf, install, pinned, sha256 } from '../real/pinned-guard.ts';
import { remains } from '../real/processes.ts';
import type { Ended } from '../real/savepoint.ts';
import { hostFields, isRoot, ScratchHost } from '../real/scratch-host.ts';

/** A host with a directory and a file to protect. */
function host(sshd?: Sshd): ScratchHost {
  const items = {
    'etc/lab/sources': { text: 'old\n' },
    'etc/lab/deep/file': { text: 'old\n', mode: 0o600 },
    'etc/lab.conf': { text: 'old\n' },
    'etc/elsewhere/file': { text: 'not tracked\n' },
  };
  const tracked = ['/etc/lab', '/etc/lab.conf'];
  return new ScratchHost(items, tracked, tracked, sshd);
}

const overlay = (it: ScratchHost) =>
  it.overlay('files', { 'etc/lab/sources': { text: 'new\n' }, 'etc/lab/added': { text: 'new\n' } });

describe.runIf(isRoot)('a phase as a user who may run nothing but the guard as root', () => {
  const state = '"$SAVEPOINT_ROOT/var/lib/savepoint"';
  const guard = `"$SAVEPOINT_ROOT/var/lib/savepoint/guard/${sha256}/guard"`;
  const request = (verb: string, ...fields: string[]) =>
    `printf '%s\\n' 'savepoint 1' "id $SAVEPOINT_TRANSACTION" "root $SAVEPOINT_ROOT" 'fence 99' ${fields
      .map((field) => `'${field}'`)
      .join(' ')} '' | sudo -n ${guard} ${verb}`;

  const attempts: [string, string][] = [
    ['write its decision', `echo commit me >${state}/tx/$SAVEPOINT_TRANSACTION/decision`],
    ['remove the state of its transaction', `rm -rf ${state}/tx`],
    ['look at the backup', `ls ${state}`],
    ['replace the installed guard', `cp /bin/true ${guard}`],
    ['put another guard beside it', `mkdir ${state}/guard/x`],
    ['remove the mark of the open transaction', `rm ${state}/open`],
    ['take the lock', `touch ${state}/lock/$$.1.2`],
    ['write to a tracked file', 'echo evil >"$SAVEPOINT_ROOT/etc/lab/sources"'],
    ['put a link in the place of a tracked directory', 'ln -sfn /tmp "$SAVEPOINT_ROOT/etc/lab"'],
    ['commit without the token', request('commit')],
    ['commit with a token of its own', request('commit', 'token 0000')],
    ['apply a change of its own', request('apply', 'token 0000')],
    ['begin another transaction', request('begin', 'id mine', 'token 0000', 'track /etc')],
    [
      'run another verb of the guard',
      `sudo -n ${guard} finish / ${state} "$SAVEPOINT_TRANSACTION" me`,
    ],
    ['run a guard of its own', 'cp /bin/true own && sudo -n "$PWD/own" begin'],
    ['become root', 'sudo -n true || su -c true'],
  ];

  let it: ScratchHost;
  let sshd: Sshd;
  let before: Manifest;
  let ended: Ended;

  beforeAll(async () => {
    it = host();
    for (const path of [it.folder, it.root]) chmodSync(path, 0o755);
    install(it, pinned);
    chmodSync(join(it.root, 'var/lib/savepoint'), 0o700);
    const verbs = ['begin', 'apply', 'exec', 'kill', 'renew', 'commit', 'rollback', 'status'];
    const rules = verbs.map(
      (verb) => `lab ALL=(root) NOPASSWD: sha256:${sha256} ${guardOf(it)} ${verb}\n`,
    );
    sshd = await startSshd({ user: 'lab', sudoers: rules.join('') });
    before = it.look();
    const tries = attempts.map(
      ([what, script]) =>
        `( ${script} ) >/dev/null 2>&1 </dev/null && echo "could: ${what}" || echo "could not: ${what}"`,
    );
    const alive = 'grep -q new "$SAVEPOINT_ROOT/etc/lab/sources"';
    // Calls that never end their request: none of them may hold what others wait for.
    const stalled = ['begin', 'apply', 'exec', 'commit', 'recover'].map(
      (verb) =>
        `( printf '%s\\n' 'savepoint 1' "root $SAVEPOINT_ROOT"; exec sleep 600 ) | sudo -n ${guard} ${verb} >/dev/null 2>&1 &`,
    );
    ended = await it.run({
      host: hostFields(sshd, { sudo: true }),
      files: overlay(it),
      'on-success': 'rollback',
      phases: { test: `cd "$(mktemp -d)"\n${[...stalled, ...tries, alive].join('\n')}` },
    });
  });
  afterAll(async () => {
    await sshd.stop();
    it[Symbol.dispose]();
  });

  test.each(attempts)('cannot %s', (what) => {
    expect(String(ended.json.test_output).split('\n')).toContain(`could not: ${what}`);
  });

  test('and the job goes on as if nothing had been, and is rolled back', () => {
    expect(ended).toMatchObject({ code: 0, json: { outcome: 'rolled-back', test_status: 0 } });
    expect(it.changesSince(before)).toEqual([]);
    expect(readFileSync(guardOf(it)).equals(pinned)).toBe(true);
  });
});

describe('a phase as the user whose files are tracked', () => {
  const cases: [string, string][] = [
    [
      'puts a link to elsewhere in the place of a tracked directory',
      'mv lab moved; ln -s elsewhere lab',
    ],
    [
      'puts a link to elsewhere in the place of a directory below',
      'rm -rf lab/deep; ln -s ../elsewhere lab/deep',
    ],
    ['puts a link to elsewhere in the place of a tracked file', 'ln -sf elsewhere/file lab.conf'],
    [
      'puts a directory in the place of a tracked file',
      'rm lab.conf; mkdir -p lab.conf/deep; : >lab.conf/deep/x',
    ],
    ['puts a file in the place of a tracked directory', 'rm -rf lab; echo file >lab'],
    ['removes all that is tracked', 'rm -rf lab lab.conf'],
    ['locks itself out', 'chmod 0 lab/deep lab; chmod 0 lab.conf || :'],
    ['links tracked files to others', 'ln -f elsewhere/file lab/sources'],
    ['fills a tracked directory', 'for n in $(seq 2000); do : >"lab/f$n"; done'],
    ['leaves names that shells misread', "cd lab; : >'-rf'; : >'a b'; : >'$(touch x)'; mkdir '*'"],
  ];

  test.each(cases)('%s: it is rolled back', async (_what, script) => {
    using it = host();
    await it.settle();
    const before = it.look();
    const ended = await it.run({
      files: overlay(it),
      phases: { test: `cd "$SAVEPOINT_ROOT/etc"\n${script}\nexit 1` },
    });
    // What else the phase did to the rest of the host is its own affair.
    rmSync(join(it.root, 'etc/moved'), { recursive: true, force: true });
    expect(ended, ended.stderr).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(it.changesSince(before)).toEqual([]);
  });

  test('puts a link in the place of a directory above: nothing is written behind it, and it is told', async () => {
    using it = host();
    const trap = join(it.folder, 'trap');
    mkdirSync(join(trap, 'lab'), { recursive: true });
    writeFileSync(join(trap, 'lab/sources'), 'untouched\n');
    const behind = snapshot(trap);
    const ended = await it.run({
      files: overlay(it),
      phases: { test: `cd "$SAVEPOINT_ROOT"\nmv etc etc.moved\nln -s '${trap}' etc\nexit 1` },
    });
    expect(ended).toMatchObject({ code: 46, json: { outcome: 'rollback-failed' } });
    expect(differences(behind, snapshot(trap))).toEqual([]);
    const next = await it.run({ files: overlay(it), phases: { test: 'true' } });
    expect(next.json.error).toMatchObject({ name: 'host-quarantined' });
  });
});

describe('what a phase leaves running', () => {
  const stays = (name: string) => `
trap '' TERM HUP INT
echo $$ >"$SAVEPOINT_ROOT/etc/lab/pid-${name}"
while :; do echo evil >"$SAVEPOINT_ROOT/etc/lab/sources"; sleep 0.05; done`;

  test.each([
    ['in the background', (script: string) => `sh -c '${script}' &`],
    ['by nohup', (script: string) => `nohup sh -c '${script}' >/dev/null 2>&1 &`],
    ['by setsid', (script: string) => `setsid sh -c '${script}' >/dev/null 2>&1 &`],
    [
      'by a double fork',
      (script: string) => `( setsid sh -c '${script} & exit' >/dev/null 2>&1 & )`,
    ],
  ])('and will not end, %s, writes nothing after the rollback', async (_what, leave) => {
    using it = host();
    const before = it.look();
    const script = stays('x').replaceAll("'", "'\\''");
    const wait = 'until [ -s "$SAVEPOINT_ROOT/etc/lab/pid-x" ]; do sleep 0.05; done';
    const test = `${leave(script)}\n${wait}\necho "left $(cat "$SAVEPOINT_ROOT/etc/lab/pid-x")"\nexit 1`;
    const ended = await it.run({ files: overlay(it), phases: { test } });
    const pid = /left (\d+)/.exec(String(ended.json.test_output))?.[1] ?? '';
    expect(remains({ pids: [pid], script: '' })).toEqual([]);
    expect(['rolled-back', 'conflict']).toContain(ended.json.outcome);
    expect(it.changesSince(before)).toEqual([]);
    await delay(300);
    expect(it.changesSince(before)).toEqual([]);
  });

  test('with the name of a guard at work, holds no lock', async () => {
    using it = host();
    const before = it.look();
    const test = `
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &
stat=$(cat /proc/$!/stat); set -- \${stat##*) }; shift 19
: >"$SAVEPOINT_ROOT/var/lib/savepoint/lock/$!.$1.$(cat /proc/sys/kernel/random/boot_id)"
exit 1`;
    const ended = await it.run({ files: overlay(it), phases: { test } });
    expect(ended).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(it.changesSince(before)).toEqual([]);
  });
});

describe.runIf(isRoot)('a phase that fills the disk', () => {
  test.each([
    [
      'to the last byte',
      'head -c 100000000 /dev/zero >fill || :; head -c 100000000 /dev/zero >fill2 || :',
    ],
    [
      'with files, to the last inode',
      'n=0; while : >"f$n"; do n=$((n + 1)); done 2>/dev/null || :',
    ],
  ])('%s: it is rolled back', async (_what, fill) => {
    using it = host();
    const mount = spawnSync('mount', [
      '-t',
      'tmpfs',
      '-o',
      'size=24m,nr_inodes=600',
      'tmpfs',
      it.root,
    ]);
    expect(mount.status).toBe(0);
    onTestFinished(() => void spawnSync('umount', ['-l', it.root]));
    it.put('etc/lab/sources', { text: 'old\n' });
    it.put('etc/lab.conf', { text: 'old\n' });
    const before = it.look();
    const ended = await it.run({
      files: overlay(it),
      phases: { test: `cd "$SAVEPOINT_ROOT/etc/lab"\n${fill}\ndf . | tail -n 1\nexit 1` },
    });
    expect(ended, ended.stderr).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(it.changesSince(before)).toEqual([]);
    expect(existsSync(join(it.root, 'var/lib/savepoint/open'))).toBe(false);
    spawnSync('umount', ['-l', it.root]);
  });
});
