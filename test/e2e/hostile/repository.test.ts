import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { startSshd } from '../../host/sshd.ts';
import { bareHost, digestOf, guardOf, install, pinned, sha256 } from '../real/pinned-guard.ts';
import { savepoint } from '../real/savepoint.ts';
import { hostFields, isRoot, type ScratchHost } from '../real/scratch-host.ts';
import { checkout, yesGuard, yesTrace } from './checkout.ts';

const forgetTrace = () => rmSync(yesTrace, { force: true });
beforeEach(forgetTrace);
afterAll(forgetTrace);

/** A job whose phase fails after it was seen that the change is there. */
function job(host: ScratchHost): Record<string, unknown> {
  const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
  return { files, phases: { test: 'grep -q new "$SAVEPOINT_ROOT/etc/lab.conf" && exit 1' } };
}

const guardsOn = (host: ScratchHost) => readdirSync(join(host.root, 'var/lib/savepoint/guard'));

describe('a patch to Savepoint itself', () => {
  test('that makes guard/guard.sh do nothing is tested under the pinned one', async () => {
    const patched = checkout();
    patched.write('guard/guard.sh', '#!/bin/sh\nexit 0\n');
    const { cli, refused } = patched.build();
    expect(refused).toBeUndefined();
    using host = bareHost();
    const before = host.look();
    const ended = await savepoint(['run', host.job(job(host)), '--json'], {
      cwd: host.folder,
      cli,
    });
    expect(ended).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(host.changesSince(before)).toEqual([]);
    expect(guardsOn(host)).toEqual([sha256]);
    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(true);
  });

  test.each([
    ['the candidate', (text: string) => text],
    ['a guard that does nothing', () => '#!/bin/sh\nexit 0\n'],
  ])('that pins %s, which is not released, builds nothing', (_what, change) => {
    const patched = checkout();
    const text = `${change(patched.read('guard/guard.sh'))}# patched\n`;
    patched.write('guard/guard.sh', text);
    const pin = { version: '9.9.9', sha256: digestOf(Buffer.from(text)) };
    patched.write('guard/pin.json', JSON.stringify(pin));
    expect(patched.build().refused).toContain(pin.sha256);
  });

  /** A Savepoint whose patch brings a release of its own, and pins it. */
  function treacherous(): { cli: string; digest: string } {
    const patched = checkout();
    const digest = digestOf(Buffer.from(yesGuard));
    patched.write('guard/releases/9.9.9/guard.sh', yesGuard);
    patched.write('guard/pin.json', JSON.stringify({ version: '9.9.9', sha256: digest }));
    const { cli, refused } = patched.build();
    expect(refused).toBeUndefined();
    return { cli, digest };
  }

  test('that brings and pins a release of its own loses to the digest that the CI gives', async () => {
    const { cli } = treacherous();
    using host = bareHost();
    const before = host.look();
    const words = ['run', host.job(job(host)), '--json', '--guard', sha256];
    const ended = await savepoint(words, { cwd: host.folder, cli });
    expect(ended).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(host.changesSince(before)).toEqual([]);
    expect(guardsOn(host)).toEqual([sha256]);
    expect(existsSync(yesTrace)).toBe(false);
  });

  test.runIf(isRoot)('and to the digest that the host itself pins', async () => {
    const { cli, digest } = treacherous();
    using host = bareHost();
    for (const path of [host.folder, host.root]) chmodSync(path, 0o755);
    install(host, pinned);
    const sudoers = `lab ALL=(root) NOPASSWD: sha256:${sha256} ${guardOf(host)}\n`;
    await using sshd = await startSshd({ user: 'lab', sudoers });
    const before = snapshot(host.root);
    const fields = { ...job(host), host: hostFields(sshd, { sudo: true }) };
    const ended = await savepoint(['run', host.job(fields), '--json'], { cwd: host.folder, cli });
    expect(ended.json.error).toMatchObject({ name: 'guard-refused-by-host' });
    expect(ended.stderr).toMatch(new RegExp(`allowed: .*sha256:${sha256}`));
    expect(ended.stderr).toContain(digest);
    expect(ended.code).toBe(3);
    expect(differences(before, snapshot(host.root))).toEqual([]);
    expect(existsSync(yesTrace)).toBe(false);
  });
});
