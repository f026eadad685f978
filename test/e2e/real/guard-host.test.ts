import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import {
  bareHost,
  guardOf,
  install,
  leavesTrace,
  oneByteOther,
  pinned,
  sha256,
  smallJob,
} from './pinned-guard.ts';
import { hostFields } from './scratch-host.ts';

let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd();
});

afterAll(() => sshd.stop());

describe('the host refuses an installed guard that is not the pinned one', () => {
  test.each<[string, Buffer]>([
    ['one byte is another', oneByteOther],
    ['there is a byte more', Buffer.concat([pinned, Buffer.from('\n')])],
    ['the end is missing', pinned.subarray(0, pinned.length / 2)],
    ['it is empty', Buffer.alloc(0)],
    ['it does something else besides', leavesTrace],
  ])('%s: it is not run, and nothing is touched', async (_what, spoiled) => {
    using host = bareHost(sshd);
    expect(spoiled.equals(pinned)).toBe(false);
    install(host, spoiled);
    const before = snapshot(host.root);
    const ended = await host.run(smallJob(host));

    expect(ended.json.error).toMatchObject({ name: 'guard-mismatch', class: 'host' });
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(3);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('the hint helps: with its folder removed, the guard is put there again', async () => {
    using host = bareHost(sshd);
    install(host, oneByteOther);
    const refused = await host.run(smallJob(host));
    expect(refused.stderr).toMatch(
      `hint: Find out who changed it, then remove the folder guard/${sha256}`,
    );

    rmSync(dirname(guardOf(host)), { recursive: true });
    expect(await host.run(smallJob(host))).toMatchObject({
      code: 0,
      json: { outcome: 'committed' },
    });
    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(true);
  });

  test('what an interrupted install left is not run: the guard is put there anew', async () => {
    using host = bareHost(sshd);
    install(host, leavesTrace);
    const folder = dirname(guardOf(host));
    renameSync(guardOf(host), join(folder, 'guard.4711'));
    expect(await host.run(smallJob(host))).toMatchObject({
      code: 0,
      json: { outcome: 'committed' },
    });

    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(true);
    expect(existsSync(join(folder, '../trace'))).toBe(false);
  });

  test('bytes that got lost on the way to the host are not installed', async () => {
    using host = bareHost(sshd);
    const bin = join(host.folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'cat'), '#!/bin/sh\nexec /bin/cat "$@" | head -c 1000\n', {
      mode: 0o755,
    });
    await using lossy = await startSshd({ env: { PATH: `${bin}:/usr/bin:/bin` } });
    const before = host.look();
    const ended = await host.run({ ...smallJob(host), host: hostFields(lossy) });

    expect(ended.json.error).toMatchObject({ name: 'guard-mismatch', class: 'host' });
    expect(ended.code).toBe(3);
    expect(existsSync(guardOf(host))).toBe(false);
    expect(host.changesSince(before)).toEqual([]);
  });

  test('a job that changes the guard gains nothing: it cannot commit, and recovery does not run it', async () => {
    using host = bareHost(sshd);
    const before = host.look();
    const spoil = `sed -i '2i: >"\${0%/*}/../trace"' '${guardOf(host)}'`;
    const ended = await host.run({ ...smallJob(host), phases: { test: spoil } });

    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(false);
    expect(ended.json).toMatchObject({ test_status: 0, error: { name: 'guard-mismatch' } });
    expect(ended.json).not.toHaveProperty('outcome');
    expect(ended.code).toBe(3);
    expect(await host.ask('recover')).toMatchObject({ code: 3 });
    expect(host.changesSince(before)).not.toEqual([]);

    rmSync(dirname(guardOf(host)), { recursive: true });
    const recovered = await host.ask('recover');
    expect(recovered).toMatchObject({ code: 0, json: { ended: [{ outcome: 'rolled-back' }] } });
    expect(host.changesSince(before)).toEqual([]);
    expect(existsSync(join(dirname(guardOf(host)), '../trace'))).toBe(false);
  });
});
