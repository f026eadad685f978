import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { differences, snapshot } from '../../guard/manifest.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { actionFolder, cliFile } from '../built.ts';
import { untilQuiet } from './processes.ts';
import { savepoint } from './savepoint.ts';
import { hostFields, ScratchHost } from './scratch-host.ts';

const unknownDigest = 'f'.repeat(64);

let sshd: Sshd;
/** Bytes and digest of the pinned guard. */
let pinned: Buffer;
let sha256: string;

beforeAll(async () => {
  sshd = await startSshd();
  await untilQuiet(sshd);
  pinned = readFileSync(join(actionFolder(), 'dist', 'guard.sh'));
  sha256 = createHash('sha256').update(pinned).digest('hex');
});

afterAll(() => sshd.stop());

function scratchHost(): ScratchHost {
  return new ScratchHost({ 'etc/lab.conf': { text: 'old\n' } }, ['/etc/lab.conf'], [], sshd);
}

function job(host: ScratchHost) {
  const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
  return { files, phases: { test: 'echo it ran' } };
}

/** Where the guard is installed. */
const guardOf = (host: ScratchHost) => join(host.root, 'var/lib/savepoint/guard', sha256, 'guard');

/** Puts bytes where the pinned guard is looked for. */
function install(host: ScratchHost, bytes: string | Buffer): void {
  mkdirSync(dirname(guardOf(host)), { recursive: true, mode: 0o700 });
  writeFileSync(guardOf(host), bytes, { mode: 0o755 });
}

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
    writeFileSync(join(copy, 'guard/releases', version, 'guard.sh'), oneByteOther(pinned));

    const { status, stderr, built } = build(copy);
    expect(stderr).toContain(sha256);
    expect({ status, built }).toEqual({ status: 1, built: false });
  });

  test('a built command whose guard was changed afterwards does not touch the host', async () => {
    using host = scratchHost();
    const before = snapshot(host.root);
    const text = readFileSync(cliFile(), 'utf8');
    const line = pinned.toString('utf8').match(/^# [A-Za-z0-9 ,.-]{30,}$/m)?.[0] ?? '';
    const spoiled = join(host.folder, 'cli.cjs');
    writeFileSync(spoiled, text.replaceAll(line, `${line.slice(0, -1)}!`));
    expect(readFileSync(spoiled, 'utf8')).not.toBe(text);
    const logged = sshd.logs().length;
    const args = ['run', host.job(job(host)), '--json'];
    const ended = await savepoint(args, { cwd: host.folder, cli: spoiled });

    expect(ended.json.error).toMatchObject({ name: 'pin-bad', class: 'usage' });
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(2);
    expect(sshd.logs().slice(logged)).toBe('');
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('a digest that no released guard has is guard-unavailable, and the host is not touched', async () => {
    using host = scratchHost();
    const before = snapshot(host.root);
    const ended = await host.run(job(host), '--guard', unknownDigest);

    expect(ended.json.error).toMatchObject({ name: 'guard-unavailable', class: 'usage' });
    expect(ended.stderr).toContain(unknownDigest);
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(2);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('a recorded transaction of an unknown guard is guard-unavailable, and stays open', async () => {
    using host = scratchHost();
    const options = { cwd: host.folder };
    const { phases: _, ...fields } = job(host);
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

describe('the host refuses an installed guard that is not the pinned one', () => {
  const leavesTrace = (bytes: Buffer) =>
    Buffer.from(bytes.toString().replace('\nset -u\n', '\nset -u\n: >"${0%/*}/trace"\n'));

  test.each<[string, (bytes: Buffer) => string | Buffer]>([
    ['one byte is another', oneByteOther],
    ['there is a byte more', (bytes) => Buffer.concat([bytes, Buffer.from('\n')])],
    ['the end is missing', (bytes) => bytes.subarray(0, bytes.length / 2)],
    ['it is empty', () => ''],
    ['it does something else besides', leavesTrace],
  ])('%s: it is not run, and nothing is touched', async (_what, spoil) => {
    using host = scratchHost();
    const spoiled = spoil(pinned);
    expect(Buffer.from(spoiled).equals(pinned)).toBe(false);
    install(host, spoiled);
    const before = snapshot(host.root);
    const ended = await host.run(job(host));

    expect(ended.json.error).toMatchObject({ name: 'guard-mismatch', class: 'host' });
    expect(ended.stderr).toContain(sha256);
    expect(ended.code).toBe(3);
    expect(differences(before, snapshot(host.root))).toEqual([]);
  });

  test('the hint helps: with its folder removed, the guard is put there again', async () => {
    using host = scratchHost();
    install(host, oneByteOther(pinned));
    const refused = await host.run(job(host));
    expect(refused.stderr).toMatch(
      `hint: Find out who changed it, then remove the folder guard/${sha256}`,
    );

    rmSync(dirname(guardOf(host)), { recursive: true });
    expect(await host.run(job(host))).toMatchObject({ code: 0, json: { outcome: 'committed' } });
    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(true);
  });

  test('what an interrupted install left is not run: the guard is put there anew', async () => {
    using host = scratchHost();
    install(host, leavesTrace(pinned));
    const folder = dirname(guardOf(host));
    spawnSync('mv', [guardOf(host), join(folder, 'guard.4711')]);
    expect(await host.run(job(host))).toMatchObject({ code: 0, json: { outcome: 'committed' } });

    expect(readFileSync(guardOf(host)).equals(pinned)).toBe(true);
    expect(existsSync(join(folder, 'trace'))).toBe(false);
  });

  test('bytes that got lost on the way to the host are not installed', async () => {
    using host = scratchHost();
    const bin = join(host.folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'cat'), '#!/bin/sh\nexec /bin/cat "$@" | head -c 1000\n', {
      mode: 0o755,
    });
    await using lossy = await startSshd({ env: { PATH: `${bin}:/usr/bin:/bin` } });
    const before = host.look();
    const ended = await host.run({ ...job(host), host: hostFields(lossy) });

    expect(ended.json.error).toMatchObject({ name: 'guard-mismatch', class: 'host' });
    expect(ended.code).toBe(3);
    expect(existsSync(guardOf(host))).toBe(false);
    expect(host.changesSince(before)).toEqual([]);
  });

  test('a job that changes the guard gains nothing: it cannot commit, and recovery does not run it', async () => {
    using host = scratchHost();
    const before = host.look();
    const spoil = `sed -i '2i: >"\${0%/*}/../trace"' '${guardOf(host)}'`;
    const ended = await host.run({ ...job(host), phases: { test: spoil } });

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

function oneByteOther(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.indexOf('Savepoint');
  copy.write('s', at);
  return copy;
}
