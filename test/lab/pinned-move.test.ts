import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { digestOf, guardInUse } from '../../src/guard/releases.ts';
import { savepoint } from '../e2e/real/savepoint.ts';
import { differences, type Manifest } from '../guard/manifest.ts';
import { must } from './command.ts';
import { bootContainer, type Container } from './container.ts';
import { startJob, writeJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient, eventually } from './patience.ts';
import { ask, ciOptions, furnishPlainly, noSudo, protectedPaths, setUp, steps } from './pinned.ts';
import { look } from './protected.ts';
import { endOf, folderOf } from './transactions.ts';

bePatient();

const track = protectedPaths;
const old = guardInUse();
const next = old.text.replace(/^VERSION=\S+/m, 'VERSION=9.0.0');
const nextDigest = digestOf(next);

/** What sudo runs, a line each, beside the usual rules: none. */
const sudoLog = 'var/log/sudo.log';
const logged = `Defaults logfile=/${sudoLog}, loglinelen=0\n${noSudo}`;

/** A Savepoint whose pin has moved to a later release; it carries the one before too. */
async function nextSavepoint(folder: string): Promise<string> {
  for (const part of ['scripts', 'guard', 'src', 'package.json']) {
    cpSync(part, join(folder, part), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  mkdirSync(join(folder, 'guard/releases/9.0.0'));
  writeFileSync(join(folder, 'guard/releases/9.0.0/guard.sh'), next);
  const pin = { version: '9.0.0', sha256: nextDigest };
  writeFileSync(join(folder, 'guard/pin.json'), JSON.stringify(pin));
  await must(['node', join(folder, 'scripts/build.mjs'), '--out', join(folder, 'dist')]);
  return join(folder, 'dist/cli.cjs');
}

describe('the pin moves from one release to the next while a transaction is open', () => {
  let machine: Container;
  let before: Manifest;
  let folder: string;
  let cli: string;

  beforeAll(async () => {
    await labImage();
    folder = await mkdtemp(join(tmpdir(), 'savepoint-next-'));
    cli = await nextSavepoint(folder);
    machine = await bootContainer({ sudo: logged, furnish: furnishPlainly });
    await setUp(machine, ...ciOptions);
    before = lookAtJobs();
  });
  afterAll(async () => {
    await machine.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What jobs could have changed; the sudo rules change as the pin moves. */
  const lookAtJobs = () => {
    const manifest = look(machine.root);
    for (const path of manifest.keys()) if (path.startsWith('/sudoers.d')) manifest.delete(path);
    return manifest;
  };
  const expectAsBefore = () =>
    vi.waitFor(() => expect(differences(before, lookAtJobs())).toEqual([]), eventually);

  /** A transaction of the old release, with its change applied, that nobody renews. */
  async function begin(state: string): Promise<string> {
    const job = await writeJob(machine, { user: 'ci', lease: 600, fields: { renew: 15, track } });
    const words = ['begin', job.path, '--state', state, '--output', `${state}.d`, '--while', '0'];
    const ended = await savepoint([...words, '--json'], { cwd: folder });
    await job[Symbol.asyncDispose]();
    expect(ended.code, ended.stderr).toBe(0);
    expect(readFileSync(join(machine.root, 'etc/absent.conf'), 'utf8')).toBe('laid\n');
    return (JSON.parse(readFileSync(state, 'utf8')) as { record: { id: string } }).record.id;
  }

  const openedBy = (id: string) =>
    readFileSync(join(folderOf(machine.root, id), 'guard'), 'utf8').trim();

  /** Guards that sudo has run so far, by release and verb: it notes each before it runs it. */
  function ran(): string[] {
    const log = readFileSync(join(machine.root, sudoLog), 'utf8');
    return [...log.matchAll(/COMMAND=\S*\/guard\/([0-9a-f]{64})\/guard (\w+)/g)].map(
      ([, digest, verb]) => `${digest === old.sha256 ? 'old' : 'new'} ${verb}`,
    );
  }

  test('both are allowed while it moves, and the old one rolls its transaction back', async () => {
    const state = join(folder, 'one.json');
    const id = await begin(state);
    const setup = await ask(machine, ['host', 'setup'], { cli });
    expect(steps(setup)).toEqual(
      expect.arrayContaining([
        `keep guard ${old.version}`,
        'install guard 9.0.0',
        'write sudo rules',
      ]),
    );
    const earlier = ran().length;
    const ended = await savepoint(['finish', '--state', state, '--status', 'failure', '--json'], {
      cwd: folder,
      cli,
    });
    expect(ended.json).toMatchObject({ outcome: 'rolled-back' });
    expect(openedBy(id)).toBe(old.sha256);
    expect(ran().slice(earlier)).toContain('old rollback');
    expect(ran().filter((run) => run.startsWith('new'))).toEqual([]);
    await expectAsBefore();
  });

  test('a later job runs with the new one on the same host', async () => {
    const earlier = ran().length;
    await using job = await writeJob(machine, {
      user: 'ci',
      phases: { test: 'true' },
      fields: { 'on-success': 'rollback', track },
    });
    const ended = await savepoint(['run', job.path, '--output', job.beside('out'), '--json'], {
      cwd: folder,
      cli,
    });
    expect(ended.json).toMatchObject({ outcome: 'rolled-back' });
    const releases = new Set(
      ran()
        .slice(earlier)
        .map((run) => run.split(' ')[0]),
    );
    expect(releases).toEqual(new Set(['new']));
  });

  test('recover of the new one lets the old one end its own', async () => {
    const id = await begin(join(folder, 'two.json'));
    const ended = await ask(machine, ['recover'], { user: 'ci', cli });
    expect(ended.json).toMatchObject({ ended: [{ id, outcome: 'rolled-back' }] });
    await expectAsBefore();
  });

  test('--only keeps the old one as long as its transaction is open', async () => {
    const id = await begin(join(folder, 'three.json'));
    const setup = await ask(machine, ['host', 'setup', '--only'], { cli });
    expect(setup.code, setup.stderr).toBe(0);
    expect(setup.json.changed).toBe(false);
    await machine.powerOff();
    await machine.boot();
    expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'rolled-back', by: 'boot' });
    expect(openedBy(id)).toBe(old.sha256);
    await expectAsBefore();
  });

  test('afterwards --only takes the old one away, and the host refuses it by name', async () => {
    const setup = await ask(machine, ['host', 'setup', '--only'], { cli });
    expect(steps(setup)).toEqual(
      expect.arrayContaining(['write sudo rules', `remove guard ${old.version}`]),
    );
    expect(existsSync(join(machine.root, 'var/lib/savepoint/guard', old.sha256))).toBe(false);
    // What starts at boot is a guard that stays.
    expect(readFileSync(join(machine.root, 'var/lib/savepoint/boot'), 'utf8')).toContain(
      nextDigest,
    );
    await using job = await startJob(machine, {
      user: 'ci',
      phases: { test: 'true' },
      fields: { track },
    });
    expect(await job.ended).toBe(3);
    expect(job.printed()).toContain('guard-refused-by-host');
    expect(job.printed()).toMatch(new RegExp(`allowed.*sha256:${nextDigest}`));
    expect(job.printed()).toMatch(new RegExp(`asked.*${old.version} sha256:${old.sha256}`));
    await expectAsBefore();
  });
});
