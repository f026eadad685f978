import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import {
  bareHost,
  digestOf,
  guardOf,
  install,
  oneByteOther,
  pinned,
  sha256,
  smallJob,
} from './pinned-guard.ts';
import { hostFields, isRoot, type JobFields, type ScratchHost } from './scratch-host.ts';

/** A host whose owner has put the guard there and lets `lab` run that, by its digest, and nothing else. */
async function pinnedByHost(digest = sha256): Promise<{ host: ScratchHost; sshd: Sshd }> {
  const host = bareHost();
  // Root's, but others may look below it.
  for (const path of [host.folder, host.root]) chmodSync(path, 0o755);
  install(host, pinned, digest);
  const sudoers = `lab ALL=(root) NOPASSWD: sha256:${digest} ${guardOf(host, digest)}\n`;
  return { host, sshd: await startSshd({ user: 'lab', sudoers }) };
}

function jobAs(host: ScratchHost, sshd: Sshd): JobFields {
  const phases = { test: 'id -un' };
  return { ...smallJob(host), host: hostFields(sshd, { sudo: true }), phases };
}

describe.runIf(isRoot)('a host that pins the guard itself, by a digest in its sudoers', () => {
  test('lets a user run this one guard as root, and phases as the user', async () => {
    const { host, sshd } = await pinnedByHost();
    await using _sshd = sshd;
    using _host = host;
    const ended = await host.run(jobAs(host, sshd));
    expect(ended).toMatchObject({ code: 0, json: { outcome: 'committed', test_output: 'lab\n' } });
    expect(readFileSync(join(host.root, 'etc/lab.conf'), 'utf8')).toBe('new\n');
  });

  test.each<[string, string, Buffer]>([
    ['one byte of it is another', sha256, oneByteOther],
    ['it is another guard', digestOf(oneByteOther), oneByteOther],
  ])('runs nothing, and nothing is touched, when %s', async (_what, digest, bytes) => {
    const { host, sshd } = await pinnedByHost(digest);
    await using _sshd = sshd;
    using _host = host;
    install(host, bytes, digest);
    const before = snapshot(host.root);
    const ended = await host.run(jobAs(host, sshd));

    expect(ended.json.error).toMatchObject({ name: 'guard-refused-by-host', class: 'host' });
    expect(ended.stderr).toMatch(new RegExp(`allowed: .*sha256:${digest}`));
    expect(ended.stderr).toMatch(new RegExp(`asked: .*sha256:${sha256}`));
    expect(ended.code).toBe(3);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });
});
