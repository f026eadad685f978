import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { cliFile } from '../built.ts';
import { bareHost, oneByteOther, pinned, sha256, smallJob, unknownDigest } from './pinned-guard.ts';
import { untilQuiet } from './processes.ts';
import { savepoint } from './savepoint.ts';

let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd();
  await untilQuiet(sshd);
});

afterAll(() => sshd.stop());

describe('the controller refuses a guard that is not the pinned one', () => {
  /** The parts of the repository that the build reads, as a copy to be spoiled. */
  function repository(): string {
    const copy = mkdtempSync(join(tmpdir(), 'savepoint-repository-'));
    onTestFinished(() => rmSync(copy, { recursive: true, force: true }));
    for (const part of ['scripts', 'guard', 'src', 'package.json']) {
      cpSync(part, join(copy, part), { recursive: true });
    }
    symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
    return copy;
  }

  function build(copy: string) {
    const out = join(copy, 'dist');
    const args = [join(copy, 'scripts/build.mjs'), '--out', out];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { status, stderr, built: existsSync(join(out, 'cli.cjs')) };
  }

  test('nothing is built when the pin has another digest than its release', () => {
    const copy = repository();
    const pin = join(copy, 'guard/pin.json');
    const { version } = JSON.parse(readFileSync(pin, 'utf8'));
    writeFileSync(pin, JSON.stringify({ version, sha256: unknownDigest }));

    const { status, stderr, built } = build(copy);
    expect(stderr).toContain(unknownDigest);
    expect(stderr).toContain(sha256);
    expect({ status, built }).toEqual({ status: 1, built: false });
  });

  test('nothing is built when one byte of the release differs', () => {
    const copy = repository();
    const { version } = JSON.parse(readFileSync(join(copy, 'guard/pin.json'), 'utf8'));
    writeFileSync(join(copy, 'guard/releases', version, 'guard.sh'), oneByteOther);

    const { status, stderr, built } = build(copy);
    expect(stderr).toContain(sha256);
    expect({ status, built }).toEqual({ status: 1, built: false });
  });

  test('a built command whose guard was changed afterwards does not touch the host', async () => {
    using host = bareHost(sshd);
    const before = snapshot(host.root);
    const text = readFileSync(cliFile(), 'utf8');
    const line = pinned.toString('utf8').match(/^# [A-Za-z0-9 ,.-]{30,}$/m)?.[0] ?? '';
    const spoiled = join(host.folder, 'cli.cjs');
    writeFileSync(spoiled, text.replaceAll(line, `${line.slice(0, -1)}!`));
    expect(readFileSync(spoiled, 'utf8')).not.toBe(text);
    const logged = sshd.logs().length;
    const args = ['run', host.job(smallJob(host)), '--json'];
    const ended = await savepoint(args, { cwd: host.folder, cli: spoiled });

    expect(ended.json.error).toMatchObject({ name: 'pin-bad', class: 'usage' });
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(2);
    expect(sshd.logs().slice(logged)).toBe('');
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('a digest that no released guard has is guard-unavailable, and the host is not touched', async () => {
    using host = bareHost(sshd);
    const before = snapshot(host.root);
    const ended = await host.run(smallJob(host), '--guard', unknownDigest);

    expect(ended.json.error).toMatchObject({ name: 'guard-unavailable', class: 'usage' });
    expect(ended.stderr).toContain(unknownDigest);
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(2);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('a recorded transaction of an unknown guard is guard-unavailable, and stays open', async () => {
    using host = bareHost(sshd);
    const options = { cwd: host.folder };
    const { phases: _, ...fields } = smallJob(host);
    const begun = await savepoint(['begin', host.job(fields), '--while', '0'], options);
    expect(begun).toMatchObject({ code: 0 });
    const before = snapshot(host.root);
    const state = join(host.folder, '.savepoint-state.json');
    const recorded = readFileSync(state, 'utf8');
    writeFileSync(state, recorded.replaceAll(sha256, unknownDigest));
    const finish = ['finish', '--status', 'failure', '--json'];
    const ended = await savepoint(finish, options);

    expect(ended.json.error).toMatchObject({ name: 'guard-unavailable', class: 'usage' });
    expect(ended.stderr).toContain(unknownDigest);
    expect(ended.code).toBe(2);
    expect(differences(before, snapshot(host.root))).toEqual([]);

    writeFileSync(state, recorded);
    const after = await savepoint(finish, options);
    expect(after.json).toMatchObject({ outcome: 'rolled-back' });
    expect(readFileSync(join(host.root, 'etc/lab.conf'), 'utf8')).toBe('old\n');
  });
});
