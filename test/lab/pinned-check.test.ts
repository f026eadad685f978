import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guardInUse } from '../../src/guard/releases.ts';
import type { Report } from '../../src/rehearsal/check.ts';
import { differences, type Manifest } from '../guard/manifest.ts';
import { bootContainer, type Container } from './container.ts';
import { labImage } from './image.ts';
import { bePatient } from './patience.ts';
import { ask } from './pinned.ts';
import { look } from './protected.ts';

bePatient();

const pinned = guardInUse();

describe('a guard is rehearsed on a host, under a transaction of the pinned one', () => {
  let machine: Container;
  let before: Manifest;
  let folder: string;

  beforeAll(async () => {
    await labImage();
    folder = await mkdtemp(join(tmpdir(), 'savepoint-check-'));
    machine = await bootContainer({
      furnish: (root) => {
        mkdirSync(join(root, 'etc/apt'), { recursive: true });
        writeFileSync(
          join(root, 'etc/apt/sources.list'),
          'deb http://good.example/debian stable main\n',
        );
      },
    });
    before = look(machine.root);
  });
  afterAll(async () => {
    await machine.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A copy of the pinned guard with something replaced. */
  function candidate(from: RegExp, to: string): string {
    const file = join(folder, 'guard.sh');
    expect(pinned.text).toMatch(from);
    writeFileSync(file, pinned.text.replace(from, to));
    return file;
  }

  async function check(file: string, points: number) {
    const ended = await ask(machine, ['guard', 'check', file, '--points', String(points)]);
    const report = ended.json as unknown as Report;
    return { ...ended, report, failed: (report.checks ?? []).filter(({ held }) => !held) };
  }

  function expectNothingLeft(): void {
    expect(differences(before, look(machine.root))).toEqual([]);
    expect(existsSync(join(machine.root, 'var/lib/savepoint/open'))).toBe(false);
    const scratch = readdirSync(join(machine.root, 'var/tmp')).filter((n) =>
      n.startsWith('savepoint'),
    );
    expect(scratch).toEqual([]);
  }

  test('everything holds for the guard in use, and the report says what the host can do', async () => {
    const file = resolve('guard/releases', pinned.version, 'guard.sh');
    const { report, failed, code, stderr } = await check(file, 2);
    expect(failed).toEqual([]);
    expect(code).toBe(0);
    expect(report).toMatchObject({
      guard: { version: pinned.version, sha256: pinned.sha256 },
      host: { user: 'root', watchdog: 'systemd', attributes: 'kept', ACLs: 'kept' },
      held: true,
    });
    expect(report.host.find).toContain('GNU');
    expect(report.protected).toMatch(/\/etc\/apt.*, by guard /);
    expect(stderr).toContain('Everything held.');
    expect(stderr).toMatch(/held +begin, killed: .*: 2 kills, each at work/);
    expectNothingLeft();
  });

  test('one that does not restore is found out', async () => {
    const file = candidate(/^put_back\(\) \{.*$/m, 'put_back() { return 0');
    const { failed, code } = await check(file, 1);
    expect(code).toBe(3);
    expect(failed.map(({ what }) => what)).toContain(
      'a transaction that is rolled back leaves everything as it was',
    );
    expectNothingLeft();
  });

  test('one that loses metadata is found out', async () => {
    const file = candidate(/--xattrs(-include=[^ ']*('\*')?)?|--acls|--selinux/g, '');
    const { failed, code } = await check(file, 0);
    expect(code).toBe(3);
    expect(failed.length).toBeGreaterThan(0);
    expectNothingLeft();
  });

  test('one that takes anything for a commit is found out when it is killed', async () => {
    const file = candidate(/\[ "\$decision" = commit \] \|\| decision=rollback/, 'decision=commit');
    const { failed, code } = await check(file, 1);
    expect(code).toBe(3);
    expect(failed.length).toBeGreaterThan(1);
    expectNothingLeft();
  });

  test('a watchdog that goes to work as soon as a verb is killed does not disturb the look', async () => {
    // While it has the lock, it leaves no tree wholly old or new.
    const watch = `watch() {
  while [ -e "$tx/token" ] && [ ! -e "$tx/outcome" ]; do
    [ ! -e "$tx/decision" ] || (
      lock
      [ -e "$tx/outcome" ] || { true >./etc/half; sleep 1; rm ./etc/half; }
      unlock
      finish watchdog
    )
    sleep 0.01
  done
}`;
    const file = candidate(/^watch\(\) \{.*?^\}$/ms, watch.replaceAll('$', '$$$$'));
    const { failed, code } = await check(file, 1);
    expect(failed).toEqual([]);
    expect(code).toBe(0);
    expectNothingLeft();
  });

  test('one that reaches out of its scratch root does no lasting harm', async () => {
    const evil = 'echo "deb http://evil.example x y" >/etc/apt/sources.list';
    const { failed, code } = await check(candidate(/^set -u/m, `set -u\n${evil}`), 0);
    expect(code).toBe(3);
    expect(failed.map(({ what, detail }) => `${what}: ${detail}`).join('\n')).toMatch(
      /the host's own .*stay as they are: .*\/etc\/apt\/sources.list/,
    );
    expectNothingLeft();
  });

  test('a file that is no guard is refused before the host is touched', async () => {
    const { json, code } = await check(resolve('package.json'), 0);
    expect(json.error).toMatchObject({ name: 'bad-usage', place: { field: 'FILE' } });
    expect(code).toBe(2);
  });

  test('a login that is not root rehearses without the protection, and says so', async () => {
    const file = resolve('guard/releases', pinned.version, 'guard.sh');
    const words = ['guard', 'check', file, '--points', '0', '--sudo', 'false'];
    const ended = await ask(machine, words, { user: 'ci' });
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.json).toMatchObject({
      protected: 'nothing of the host itself: the login is not root',
      host: { user: 'ci' },
    });
    expectNothingLeft();
  });
});

test('a host with the tools of busybox: what they lose is refused first, then rehearsed', async () => {
  const tools = 'cp find mv sha256sum stat tar touch xargs';
  await using machine = await bootContainer({
    furnish: (root) => cpSync('/usr/bin/busybox', join(root, 'usr/bin/busybox')),
  });
  await machine.exec(`for tool in ${tools}; do ln -sf busybox /usr/bin/$tool; done`);
  const file = resolve('guard/releases', pinned.version, 'guard.sh');
  const ended = await ask(machine, ['guard', 'check', file, '--points', '1']);
  const report = ended.json as unknown as Report;
  expect(report.host.tar).toMatch(/^not GNU/);
  const checks = report.checks.map(({ what, held, detail }) => `${held} ${what}: ${detail}`);
  expect(checks[0]).toMatch(/^true tools that lose metadata are refused .*would lose/);
  expect(checks.filter((check) => check.startsWith('false'))).toEqual([]);
});
