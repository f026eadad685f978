import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { differences, type Field, snapshot } from './manifest.ts';
import { Mounts, onlyBusybox } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guards, isSince } from './which.ts';

/** Only these, as where someone has replaced one package. */
const busyboxFor = (tools: string) => `for tool in ${tools}; do
  mount --bind "$(command -v busybox)" "$(command -v "$tool")"; done`;

const lost =
  'extended attributes, ACLs, labels, capabilities, hard links and fractions of a second';

const hosts: [what: string, script: string][] = [
  ['busybox alone', onlyBusybox],
  ['the tar of busybox', busyboxFor('tar')],
  ['the find of busybox', busyboxFor('find')],
];
/** Where a guard before 1.2.0 cannot put a removed directory back: it mixes up the two. */
const besideGnuTar = 'the find of busybox';

/** What the degraded mode does not promise, nor do the times of links. */
const whole: readonly Field[] = ['type', 'mode', 'owner', 'content'];

describe.each(guards)('%s, on a host with', (_which, file) => {
  /** A conversation with the guard where it has these tools, in the host's own shell. */
  async function on(script: string) {
    const it = new Conversation(file);
    const mounts = await Mounts.made(script, it.root);
    const ask = (verb: string, lines: readonly string[] = [], payload?: Buffer) =>
      it.guard.call(verb, {
        headers: [`id ${it.id}`, 'token secret', 'fence 3', ...it.site, ...lines],
        through: [...mounts.through, 'sh', '-c', 'shift; exec sh "$@"', 'sh'],
        ...(payload && { payload }),
      });
    const close = () => {
      ask('rollback');
      mounts[Symbol.dispose]();
      it[Symbol.dispose]();
    };
    return { it, ask, [Symbol.dispose]: close };
  }
  const track = ['track /etc/lab', 'track /etc/absent'];

  test.each(hosts)('%s, begin is refused, and says what would be lost', async (_what, script) => {
    using host = await on(script);
    const answer = host.ask('begin', track);
    expect(answer).toMatchObject({ ok: false, error: 'host-degraded', status: 1 });
    expect(answer.head[0]).toContain(`would lose ${lost}`);
    expect(readdirSync(join(host.it.guard.state, 'tx'))).toEqual([]);
  });

  async function getsTheRestBack(_what: string, script: string) {
    using host = await on(script);
    const { it, ask } = host;
    const lab = join(it.root, 'etc/lab');
    furnish(lab);
    const before = snapshot(lab);
    const begun = ask('begin', [...track, 'degraded yes']);
    expect(begun).toMatchObject({ ok: true });
    expect(begun.head).toContain('tools plain');
    expect(begun.head).toContain(`warning degraded: ${lost} are not kept`);
    const applied = ask('apply', ['remove /etc/lab/gone', 'remove /etc/lab/dir'], await change());
    expect(applied).toMatchObject({ ok: true });
    expect(it.file('etc/lab/file')).toBe('new\n');
    expect(it.file('etc/absent/new')).toBe('new\n');
    execFileSync('chown', ['55:66', join(lab, 'stays')]);
    chmodSync(join(lab, 'stays'), 0o700);
    const ended = ask('rollback');
    expect(ended.head).toContain('outcome rolled-back');
    expect(ended.head).toContain(`warning degraded: ${lost} are not kept`);
    const kept = (_path: string, field: Field) => !whole.includes(field);
    expect(differences(before, snapshot(lab), kept)).toEqual([]);
    expect(readdirSync(join(it.root, 'etc'))).not.toContain('absent');
    expect(readlinkSync(join(lab, 'link'))).toBe('file');
  }
  const before12 = /^VERSION=1\.[01]\./m.test(readFileSync(file, 'utf8'));
  const able = hosts.filter(([what]) => !before12 || what !== besideGnuTar);
  test.each(able)('%s, who accepts that gets the rest back', getsTheRestBack);

  test.each(hosts)('%s, a commit stays', async (_what, script) => {
    using host = await on(script);
    const { it, ask } = host;
    expect(ask('begin', [...track, 'degraded yes']).ok).toBe(true);
    expect(ask('apply', [], await change())).toMatchObject({ ok: true });
    expect(ask('commit').head).toContain('outcome committed');
    expect(it.file('etc/lab/file')).toBe('new\n');
  });

  // The grep of busybox reads only the first variable of an environment, unless it is asked for a pattern.
  test.runIf(isSince('1.2.1', file))('busybox alone, what the job left is killed', async () => {
    using host = await on(onlyBusybox);
    const { it, ask } = host;
    expect(ask('begin', [...track, 'degraded yes']).ok).toBe(true);
    const loop = 'while sleep 0.1; do echo job >"$1"; done';
    const phase = `env -i A=1 SAVEPOINT_TRANSACTION="$SAVEPOINT_TRANSACTION" PATH="$PATH" \\
      sh -c '${loop}' sh "$SAVEPOINT_ROOT/etc/lab/file" >/dev/null 2>&1 &`;
    ask('exec', ['phase left', 'nonce told'], Buffer.from(phase));
    const left = () => spawnSync('pgrep', ['-f', `${it.root}/etc/lab/file`]).status === 0;
    expect(left()).toBe(true);
    expect(ask('rollback').head).toContain('outcome rolled-back');
    expect(left()).toBe(false);
    expect(it.file('etc/lab/file')).toBe('old\n');
  });
});

/** Modes, owners and links of every sort, below a tracked path. */
function furnish(lab: string): void {
  writeFileSync(join(lab, 'private'), 'secret\n', { mode: 0o600 });
  writeFileSync(join(lab, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  execFileSync('chown', ['33:44', join(lab, 'private')]);
  mkdirSync(join(lab, 'stays'), { mode: 0o755 });
  mkdirSync(join(lab, 'dir/deep'), { recursive: true, mode: 0o750 });
  writeFileSync(join(lab, 'dir/deep/-file with spaces'), 'deep\n', { mode: 0o640 });
  symlinkSync('file', join(lab, 'link'));
  symlinkSync('/nowhere', join(lab, 'dir/dangling'));
}

async function change(): Promise<Buffer> {
  const archive = pack();
  for (const name of ['lab/file', 'lab/private', 'lab/program', 'lab/link', 'absent/new'])
    archive.entry({ name: `etc/${name}`, mode: 0o644 }, 'new\n');
  archive.finalize();
  return await buffer(archive);
}
