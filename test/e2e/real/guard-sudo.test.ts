import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { actionFolder } from '../built.ts';
import { hostFields, isRoot, ScratchHost } from './scratch-host.ts';

const pinned = readFileSync(join(actionFolder(), 'dist', 'guard.sh'));
const oneByteOther = Buffer.from(pinned.toString().replace('Savepoint', 'savepoint'));
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const sha256 = digestOf(pinned);

/** A host whose owner has put the guard there and lets `lab` run that, by its digest, and nothing else. */
async function pinnedByHost(
  digest = sha256,
): Promise<{ host: ScratchHost; guard: string; sshd: Sshd }> {
  const host = new ScratchHost({ 'etc/lab.conf': { text: 'old\n' } }, ['/etc/lab.conf'], []);
  // Root's, but others may look below it.
  for (const path of [host.folder, host.root]) chmodSync(path, 0o755);
  const guard = join(host.root, 'var/lib/savepoint/guard', digest, 'guard');
  mkdirSync(dirname(guard), { recursive: true });
  writeFileSync(guard, pinned, { mode: 0o755 });
  const sudoers = `lab ALL=(root) NOPASSWD: sha256:${digest} ${guard}\n`;
  return { host, guard, sshd: await startSshd({ user: 'lab', sudoers }) };
}

function job(host: ScratchHost, sshd: Sshd) {
  const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
  return { host: hostFields(sshd, { sudo: true }), files, phases: { test: 'id -un' } };
}

describe.runIf(isRoot)('a host that pins the guard itself, by a digest in its sudoers', () => {
  test('lets a user run this one guard as root, and phases as the user', async () => {
    const { host, sshd } = await pinnedByHost();
    await using _sshd = sshd;
    using _host = host;
    const ended = await host.run(job(host, sshd));
    expect(ended).toMatchObject({ code: 0, json: { outcome: 'committed', test_output: 'lab\n' } });
    expect(readFileSync(join(host.root, 'etc/lab.conf'), 'utf8')).toBe('new\n');
  });

  test.each<[string, string, Buffer]>([
    ['one byte of it is another', sha256, oneByteOther],
    ['it is another guard', digestOf(oneByteOther), oneByteOther],
  ])('runs nothing, and nothing is touched, when %s', async (_what, digest, bytes) => {
    const { host, guard, sshd } = await pinnedByHost(digest);
    await using _sshd = sshd;
    using _host = host;
    writeFileSync(guard, bytes);
    const before = snapshot(host.root);
    const ended = await host.run(job(host, sshd));

    expect(ended.json.error).toMatchObject({ name: 'guard-refused-by-host', class: 'host' });
    expect(ended.stderr).toMatch(new RegExp(`allowed: .*sha256:${digest}`));
    expect(ended.stderr).toMatch(new RegExp(`asked: .*sha256:${sha256}`));
    expect(ended.code).toBe(3);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });
});
