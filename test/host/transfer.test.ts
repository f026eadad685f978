import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import type { Host } from '../../src/host/host.ts';
import { openLocal } from '../../src/host/local.ts';
import { openSsh } from '../../src/host/ssh.ts';
import { again } from '../../src/transfer/again.ts';
import { type DownloadOptions, download } from '../../src/transfer/download.ts';
import type { Progress } from '../../src/transfer/progress.ts';
import { type Transfer, upload } from '../../src/transfer/upload.ts';
import { findWorkDir, makeWorkDir, removeWorkDir } from '../../src/transfer/work-dir.ts';
import { folder, refusal } from '../unit/job-fixture.ts';
import { archiveOf, type Entry, treeOf } from '../unit/transfer-archives.ts';
import { type Sshd, startSshd } from './sshd.ts';

let sshd: Sshd;
let lab: Sshd;
let busybox: Sshd;
let applets: string;
beforeAll(async () => {
  applets = mkdtempSync(join(tmpdir(), 'savepoint-busybox-'));
  execFileSync('busybox', ['--install', '-s', applets]);
  busybox = await startSshd({ env: { PATH: applets } });
  sshd = await startSshd();
  lab = await startSshd({ user: 'lab' });
});
afterAll(async () => {
  await sshd?.stop();
  await lab?.stop();
  await busybox?.stop();
  rmSync(applets, { recursive: true });
});

const hosts: [string, () => Promise<Host>][] = [
  ['this machine', async () => openLocal()],
  ['a host over SSH', () => openSsh(sshd.config())],
  ['a host over SSH with the tools of busybox', () => openSsh(busybox.config())],
  ['a host over SSH whose login has no rights', () => openSsh(lab.config())],
];

let count = 0;

/** A host with a work directory of a transaction that is gone after the test. */
async function placeOn(open: () => Promise<Host>) {
  const host = await open();
  const id = `test-${process.pid}-${++count}`;
  const workDir = await findWorkDir(host, id);
  await makeWorkDir(host, workDir);
  onTestFinished(async () => {
    await removeWorkDir(host, workDir);
    expect(existsSync(workDir)).toBe(false);
    await host.close();
  });
  return { host, workDir, id };
}

/** Waits for a transfer; gives what it said, and its last progress. */
async function ended({ exit, stderr, progress }: Transfer) {
  const all: Progress[] = [];
  const watch = async () => {
    for await (const one of progress) all.push(one);
  };
  const [said] = await Promise.all([text(stderr), exit, watch()]);
  return { said, last: all.at(-1) };
}

function fetching(
  { host, workDir, id }: Awaited<ReturnType<typeof placeOn>>,
  paths: string[],
  changes: Partial<DownloadOptions> = {},
): { folder: string; transfer: Transfer } {
  const inside = join(folder(), 'artifacts');
  const transfer = download(host, {
    paths: paths.map((path) => (path.startsWith('/') ? path : `${workDir}/${path}`)),
    workDir,
    folder: inside,
    limits: { size: 2 ** 30, entries: 10_000 },
    transaction: id,
    required: true,
    ...changes,
  });
  return { folder: inside, transfer };
}

function tree(): string {
  const root = folder({ 'a/b/plain': 'text', 'empty/': '', zero: '', 'to-plain': '-> a/b/plain' });
  const long = join(root, 'l'.repeat(200), 'm'.repeat(200));
  mkdirSync(long, { recursive: true });
  writeFileSync(join(long, 'n'.repeat(250)), 'deep');
  writeFileSync(join(root, 'größe-文'), 'UTF-8');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/latin-`), Buffer.from([0xe9])]), 'bytes');
  writeFileSync(join(root, "it's a new\nline"), 'odd');
  writeFileSync(join(root, 'large'), Buffer.alloc(3_000_001, 'x'));
  chmodSync(join(root, 'a/b/plain'), 0o751);
  chmodSync(join(root, 'zero'), 0o440);
  return root;
}

describe.each(hosts)('%s', (_, open) => {
  test('gets a tree and gives it back as it was, names of any bytes and length included', async () => {
    const place = await placeOn(open);
    const root = tree();
    const entries = 1 + Object.keys(treeOf(root)).length;
    const { said, last } = await ended(
      upload(place.host, [{ local: root, as: 'in' }], {
        into: place.workDir,
        transaction: place.id,
      }),
    );
    expect(said).toBe('');
    expect(last).toMatchObject({ done: true, bytes: last?.total, entries });
    expect(treeOf(join(place.workDir, 'in'))).toEqual(treeOf(root));
    const fetched = fetching(place, ['in']);
    expect(await ended(fetched.transfer)).toMatchObject({
      said: '',
      last: { done: true, bytes: last?.bytes, entries },
    });
    expect(treeOf(join(fetched.folder, 'in'))).toEqual(treeOf(root));
  });

  test('keeps its work directory to its login', async () => {
    const { workDir, host } = await placeOn(open);
    const { mode } = statSync(workDir);
    expect(mode & 0o777).toBe(0o700);
    const error = await refusal(makeWorkDir(host, workDir));
    expect(error).toMatchObject({ name: 'transfer-failed', details: { path: workDir } });
  });

  test('gives what is there, and says what is not', async () => {
    const place = await placeOn(open);
    writeFileSync(join(place.workDir, 'there'), 'x');
    chmodSync(join(place.workDir, 'there'), 0o644);
    const paths = ['not here', 'there', '/nowhere/x'];
    const optional = fetching(place, paths, { required: false });
    const { said } = await ended(optional.transfer);
    expect(said).toBe(`${place.workDir}/not here is not there\n/nowhere/x is not there\n`);
    expect(Object.keys(treeOf(optional.folder))).toEqual(['there']);
    const required = fetching(place, paths);
    const error = await refusal(ended(required.transfer));
    expect(error.name).toBe('artifact-missing');
    expect(error.details.missing).toEqual([`${place.workDir}/not here`, '/nowhere/x']);
    expect(Object.keys(treeOf(required.folder))).toEqual(['there']);
  });

  test('gives a path of its own below all of that path', async () => {
    const place = await placeOn(open);
    const { transfer, folder: inside } = fetching(place, [
      '/etc/hostname',
      '/etc/../etc/debian_version',
    ]);
    await ended(transfer);
    expect(readFileSync(join(inside, 'etc/hostname'))).toEqual(readFileSync('/etc/hostname'));
  });

  test('is told to stop when it gives more than it may, and stops', async () => {
    const place = await placeOn(open);
    const file = join(place.workDir, 'endless');
    execFileSync('truncate', ['-s', '1T', file]);
    chmodSync(file, 0o644);
    const small = fetching(place, ['endless'], { limits: { size: 2 ** 20, entries: 10 } });
    const error = await refusal(ended(small.transfer));
    expect(error).toMatchObject({
      name: 'artifact-refused',
      details: { entry: expect.stringContaining('endless') },
    });
    expect(existsSync(join(small.folder, 'endless'))).toBe(false);
    expect(processesOf(place.id)).toEqual([]);
  });

  test('has no process of a transfer that was killed', async () => {
    const place = await placeOn(open);
    const file = join(place.workDir, 'endless');
    execFileSync('truncate', ['-s', '1T', file]);
    chmodSync(file, 0o644);
    const { transfer, folder: inside } = fetching(place, ['endless'], {
      limits: { size: 2 ** 50, entries: 10 },
    });
    await until(() => existsSync(join(inside, 'endless')));
    await transfer.kill();
    const error = await refusal(ended(transfer));
    expect(error.name).toBe('transfer-failed');
    expect(processesOf(place.id)).toEqual([]);
    // A part is not taken for the whole.
    expect(existsSync(join(inside, 'endless'))).toBe(false);
  });

  test('says why it cannot place what it gets', async () => {
    const place = await placeOn(open);
    const inTheWay = join(place.workDir, 'in/large');
    mkdirSync(inTheWay, { recursive: true });
    writeFileSync(join(inTheWay, 'x'), 'x');
    for (const path of [join(place.workDir, 'in'), inTheWay]) chmodSync(path, 0o777);
    const sending = upload(place.host, [{ local: join(tree(), 'large'), as: 'in/large' }], {
      into: place.workDir,
      transaction: place.id,
    });
    const error = await refusal(ended(sending));
    expect(error.name).toBe('transfer-failed');
    expect(error.reason).toMatch(/^The attachments cannot be placed on .*: tar: /);
  });
});

test('a transfer to a host whose link breaks ends as lost', async () => {
  const other = await startSshd();
  onTestFinished(() => other.stop());
  const host = await openSsh(other.config());
  onTestFinished(() => host.close());
  const workDir = folder();
  const source = join(folder(), 'big');
  execFileSync('truncate', ['-s', '1T', source]);
  const sending = upload(host, [{ local: source, as: 'big' }], { into: workDir, transaction: 'x' });
  await until(() => existsSync(join(workDir, 'big')));
  await other.dropSessions();
  expect((await refusal(ended(sending))).name).toBe('host-lost');
});

describe('a transfer that may begin again', () => {
  test('comes whole through a link that breaks under it, both ways', async () => {
    const other = await startSshd();
    onTestFinished(() => other.stop());
    const host = await openSsh(other.config());
    onTestFinished(() => host.close());
    const root = tree();
    // Long enough that it is not over before its link is cut.
    execFileSync('truncate', ['-s', '768M', join(root, 'zz-last')]);
    const workDir = folder();
    const begin = () =>
      upload(host, [{ local: root, as: 'in' }], { into: workDir, transaction: 'x' });
    const sending = ended(again(begin, 60));
    await until(() => existsSync(join(workDir, 'in/zz-last')));
    await other.dropSessions();
    const sent = await sending;
    expect(sent.said).toContain('the connection broke: beginning again\n');
    expect(sent.last).toMatchObject({ done: true, bytes: sent.last?.total });
    execFileSync('diff', ['-r', '--no-dereference', root, join(workDir, 'in')]);
    const inside = join(folder(), 'artifacts');
    const fetch = () =>
      download(host, {
        paths: [join(workDir, 'in')],
        workDir,
        folder: inside,
        limits: { size: 2 ** 30, entries: 10_000 },
        transaction: 'x',
        required: true,
      });
    const fetching = ended(again(fetch, 60));
    await until(() => existsSync(join(inside, 'in/zz-last')));
    await other.dropSessions();
    expect((await fetching).said).toContain('the connection broke: beginning again\n');
    execFileSync('diff', ['-r', '--no-dereference', root, join(inside, 'in')]);
  });

  test('gives up when the host does not come back in time', async () => {
    const other = await startSshd();
    const host = await openSsh(other.config());
    onTestFinished(() => host.close());
    const source = join(folder(), 'big');
    execFileSync('truncate', ['-s', '1T', source]);
    const workDir = folder();
    const begin = () =>
      upload(host, [{ local: source, as: 'big' }], { into: workDir, transaction: 'x' });
    const sending = refusal(ended(again(begin, 1.5)));
    await until(() => existsSync(join(workDir, 'big')));
    await other.stop();
    expect((await sending).name).toBe('host-unreachable');
  });

  test('does not when it was the transfer itself that failed', async () => {
    const host = openLocal();
    onTestFinished(() => host.close());
    let begun = 0;
    const begin = () => {
      begun++;
      const into = '/nowhere/at all';
      return upload(host, [{ local: tree(), as: 'in' }], { into, transaction: 'x' });
    };
    expect((await refusal(ended(again(begin, 60)))).name).toBe('transfer-failed');
    expect(begun).toBe(1);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

test.each<[string, Entry[] | string, string]>([
  ['a path out of the folder', [{ name: '../../outside', text: 'x' }], '".."'],
  [
    'a file through a link it made itself',
    [
      { name: 'l', type: 'symlink', linkname: '..' },
      { name: 'l/outside', text: 'x' },
    ],
    'out of the folder',
  ],
  ['anything but an archive', 'x'.repeat(10_000), 'no archive'],
])('a host that sends %s instead is refused, and ended', async (_, entries, says) => {
  const evil = folder({ outside: 'untouched' });
  const archive = typeof entries === 'string' ? Buffer.from(entries) : await archiveOf(entries);
  writeFileSync(join(evil, 'archive'), archive);
  // It would go on for ever.
  const script = `#!/bin/sh
[ "$1" != --version ] || exit 0
cat ${join(evil, 'archive')}
exec cat /dev/zero
`;
  writeFileSync(join(evil, 'tar'), script, { mode: 0o755 });
  await using other = await startSshd({ env: { PATH: `${evil}:/usr/bin:/bin` } });
  await using host = await openSsh(other.config());
  const inside = join(evil, 'in/artifacts');
  mkdirSync(join(evil, 'in'));
  const id = `evil-${process.pid}-${++count}`;
  const transfer = download(host, {
    paths: ['/etc/hostname'],
    workDir: '/nowhere',
    folder: inside,
    limits: { size: 2 ** 20, entries: 10 },
    transaction: id,
    required: true,
  });
  const error = await refusal(ended(transfer));
  expect(error.name).toBe('artifact-refused');
  expect(error.reason).toContain(says);
  expect(readFileSync(join(evil, 'outside'), 'utf8')).toBe('untouched');
  expect(existsSync(join(evil, 'in/outside'))).toBe(false);
  expect(processesOf(id)).toEqual([]);
});

test('a login that runs the guard alone is refused before anything is there', async () => {
  const gate = resolve('guard/gate.sh');
  await using restricted = await startSshd({ keyOptions: `command="sh ${gate}"` });
  await using host = await openSsh(restricted.config());
  const error = await refusal(findWorkDir(host, 'x'));
  expect(error).toMatchObject({ name: 'transfer-refused', exitCode: 3 });
  expect(error.reason).toContain('runs the guard alone');
  expect(error.hint).toContain('attachments');
});

test('a login that runs something else whatever it is asked is refused', async () => {
  await using restricted = await startSshd({ keyOptions: 'command="echo hello"' });
  await using host = await openSsh(restricted.config());
  const error = await refusal(findWorkDir(host, 'x'));
  expect(error.name).toBe('transfer-refused');
});

test('a login whose TMPDIR cannot be used gets another place, one whose TMPDIR can that', async () => {
  const own = folder();
  for (const [dir, place] of [
    ['/nowhere', '/var/tmp'],
    ['relative', '/var/tmp'],
    [own, own],
  ] as const) {
    await using other = await startSshd({ env: { TMPDIR: dir } });
    await using host = await openSsh(other.config());
    expect(await findWorkDir(host, 'x')).toBe(`${place}/savepoint-x`);
  }
});

test('who became root by sudo places files for who did, as phases run', async () => {
  const host = openLocal();
  onTestFinished(() => host.close());
  const asSudo = {
    name: host.name,
    run: (command: Parameters<Host['run']>[0]) =>
      host.run({ ...command, env: { ...command.env, SUDO_USER: 'nobody' } }),
  };
  const workDir = await findWorkDir(asSudo, `sudo-${process.pid}`);
  await makeWorkDir(asSudo, workDir);
  onTestFinished(() => removeWorkDir(host, workDir));
  const sources = [{ local: tree(), as: 'in' }];
  await ended(upload(asSudo, sources, { into: workDir, transaction: 'x' }));
  const uid = Number(execFileSync('id', ['-u', 'nobody']).toString());
  expect(statSync(workDir).uid).toBe(uid);
  expect(statSync(join(workDir, 'in/large')).uid).toBe(uid);
});

test('progress comes every second once a transfer has lasted two, with rate and time left', async () => {
  const host = openLocal();
  onTestFinished(() => host.close());
  const source = join(folder(), 'endless');
  execFileSync('truncate', ['-s', '1T', source]);
  const workDir = folder();
  // It writes nothing, so the file can be as large as it takes.
  const slow = {
    name: 'slow',
    run: (command: Parameters<Host['run']>[0]) =>
      host.run({ ...command, argv: ['sh', '-c', 'cat >/dev/null'] }),
  };
  const sending = upload(slow, [{ local: source, as: 'x' }], { into: workDir, transaction: 'x' });
  sending.exit.catch(() => undefined);
  const seen: Progress[] = [];
  for await (const one of sending.progress) {
    seen.push(one);
    if (seen.length === 2) void sending.kill();
  }
  expect(seen.every(({ done }) => done === undefined)).toBe(true);
  const [first, second] = seen as [Progress, Progress];
  expect(first.elapsed).toBeGreaterThan(1.9);
  expect(second.elapsed - first.elapsed).toBeGreaterThan(0.9);
  expect(second.bytes).toBeGreaterThan(first.bytes);
  expect(second).toMatchObject({ total: 2 ** 40, entries: 0 });
  expect(second.rate).toBeGreaterThan(0);
  expect(second.remaining).toBeGreaterThan(0);
  await expect(sending.exit).rejects.toBeInstanceOf(SavepointError);
});

/** Processes that carry the id of a transaction, as the guard finds them. */
function processesOf(id: string): string[] {
  const script = `grep -l -F "SAVEPOINT_TRANSACTION=${id}" /proc/[0-9]*/environ 2>/dev/null || true`;
  return execFileSync('sh', ['-c', script]).toString().split('\n').filter(Boolean);
}
