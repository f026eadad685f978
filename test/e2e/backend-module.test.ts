import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { labImage } from '../lab/image.ts';
import { scene } from './backend-scene.ts';
import { savepoint } from './command.ts';

describe('a backend that is a module', () => {
  // Whoever is first builds it, which takes longer than a test may.
  beforeAll(async () => {
    await labImage();
  });

  test('boots a machine for run, and ends it', async () => {
    const it = scene();
    const module = resolve('examples/backends/nspawn.mjs');
    const { disk } = await labImage();
    const job = `track: [/etc/motd.d]\nphases: { test: 'hostname; mkdir /etc/motd.d; exit 5' }\n`;
    const host = `host: { use: ${module}, with: { image: ${disk} } }\n`;
    writeFileSync(join(it.cwd, 'job.yml'), job + host);
    const said = await savepoint(['run', 'job.yml', '--json'], it);
    expect(said.exit).toBe(1);
    expect(JSON.parse(said.stdout)).toMatchObject({
      outcome: 'rolled-back',
      test_output: 'lab\n',
      test_status: 5,
    });
    expect(said.stderr).toMatch(/backend: savepoint-\w+ answers on port/);
  });

  test('restarts a machine that died under its transaction, and it had rolled back', async () => {
    const it = scene();
    const { disk } = await labImage();
    mkdirSync(join(it.cwd, 'motd/etc/motd.d'), { recursive: true });
    writeFileSync(join(it.cwd, 'motd/etc/motd.d/patch'), 'patched\n');
    const module = resolve('examples/backends/nspawn.mjs');
    const job = 'track: [/etc/motd.d]\nfiles: motd\n';
    const host = `host: { use: ${module}, with: { image: ${disk} } }\n`;
    writeFileSync(join(it.cwd, 'job.yml'), job + host);
    expect(await savepoint(['begin', 'job.yml', '--while', '0'], it)).toMatchObject({ exit: 0 });
    const exec = await savepoint(['exec', '--', 'cat', '/etc/motd.d/patch'], it);
    expect(exec.stdout).toContain('patched');
    const { backend } = JSON.parse(readFileSync(join(it.cwd, '.savepoint-state.json'), 'utf8'));
    crash(join(tmpdir(), `nspawn-${backend.id}`));
    const said = await savepoint(['finish', '--status', 'failure', '--json'], it);
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'rolled-back' });
    expect(said).toMatchObject({ exit: 0, stderr: expect.stringContaining('booting') });
    expect(existsSync(join(tmpdir(), `nspawn-${backend.id}`))).toBe(false);
  });

  test('runs the commands itself, in every process of the run', async () => {
    const it = scene();
    const path = join(it.cwd, 'own.mjs');
    writeFileSync(path, ownModule);
    const options = [...it.options, '--host', `backend:${path}`];
    const run = await savepoint(['run', ...options, '--json', '--', 'echo', 'there'], it);
    expect(run.exit).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ outcome: 'committed', test_output: 'there\n' });
    const again = scene();
    const begin = ['begin', ...again.options, '--host', `backend:${path}`];
    expect(await savepoint([...begin, '--while', `${process.pid}`], again)).toMatchObject({
      exit: 0,
    });
    expect(await savepoint(['exec', '--', 'true'], again)).toMatchObject({ exit: 0 });
    expect(await savepoint(['finish', '--status', 'failure'], again)).toMatchObject({ exit: 0 });
    expect(again.root.snapshot()).toEqual(again.before);
  });

  test.each([
    ['that exports nothing', 'export const x = 1;', 'does not export the function open'],
    ['that cannot be loaded', 'import "./absent.mjs";', 'cannot be loaded'],
  ])('%s is refused', async (_, text, complaint) => {
    const it = scene();
    writeFileSync(join(it.cwd, 'bad.mjs'), text);
    const said = await savepoint(['run', ...it.options, '--host', 'backend:bad.mjs'], it);
    expect(said).toMatchObject({ exit: 2 });
    expect(said.stderr).toContain(complaint);
  });
});

/** Kills the first process of a machine, and with it the machine, as a crash of its host does. */
function crash(folder: string): void {
  const nspawn = Number(readFileSync(join(folder, 'pid'), 'utf8'));
  const children = readFileSync(`/proc/${nspawn}/task/${nspawn}/children`, 'utf8');
  process.kill(Number(children.trim().split(' ')[0]), 'SIGKILL');
}

/** All that a module needs that runs commands itself, without a line of Savepoint's. */
const ownModule = `
import { spawn } from 'node:child_process';
export const open = async () => ({ state: { here: true } });
export const connect = async ({ state }) => ({
  run: ({ argv: [file, ...args], stdin, env, cwd }) => {
    if (!state.here) throw new Error('not here');
    const child = spawn(file, args, { cwd, env: { ...process.env, ...env } });
    if (typeof stdin?.pipe === 'function') stdin.pipe(child.stdin);
    else child.stdin.end(stdin);
    child.stdin.on('error', () => undefined);
    const exit = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(signal ? { signal } : { code }));
    });
    return { stdout: child.stdout, stderr: child.stderr, exit };
  },
});
`;
