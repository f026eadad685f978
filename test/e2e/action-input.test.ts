import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { savepoint, scene, stage } from './action-scene.ts';

describe('bad input', () => {
  test.each([
    { given: { track: 'etc/apt' }, name: 'track-relative' },
    { given: { track: '/' }, name: 'track-root' },
    { given: { track: 'aptt' }, name: 'track-unknown-preset' },
    { given: { files: 'nowhere' }, name: 'files-missing' },
    { given: { track: '/etc/dnf' }, name: 'files-outside-tracked' },
    { given: { 'on-success': 'maybe' }, name: 'job-bad-value' },
    { given: { lease: 'soon' }, name: 'job-bad-value' },
    { given: { job: 'no-such.yml' }, name: 'job-file-missing' },
    { given: { set: 'nonsense' }, name: 'set-bad' },
    { given: { guard: '0'.repeat(64) }, name: 'guard-unavailable' },
    { given: { host: 'ssh://root@lab-07', key: '/no/key' }, name: 'key-unreadable' },
    { given: { host: 'ssh://root@lab-07', 'ssh-key': 'not a key' }, name: 'key-bad' },
  ])('$given is refused as $name before anything is touched', async ({ given, name }) => {
    const it = scene();
    const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value)) as Record<
      string,
      string
    >;
    const result = await it.runner.run([savepoint(it, { run: 'true', ...asked })]);
    const main = stage(result, 'main');
    expect(main.exit).toBe(2);
    const [error] = main.commands.filter((command) => command.name === 'error');
    expect(error?.properties.title).toContain(`Savepoint: ${name} (`);
    expect(stage(result, 'post').log).toEqual([
      'No transaction was opened, so there is nothing to finish.',
    ]);
    expect(it.root.snapshot()).toEqual(it.before);
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });

  test('a status of the job that nobody knows counts as failure', async () => {
    const it = scene();
    const result = await it.runner.run([savepoint(it, { run: 'true', 'job-status': 'fine' })]);
    expect(stage(result, 'post').log.join('\n')).toContain('counts as failure');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('a job too large for the post step is refused', async () => {
    const it = scene();
    const set = `phases.cleanup.run=${'true;'.repeat(30_000)}`;
    const result = await it.runner.run([
      savepoint(it, { run: 'true', set: set.slice(0, 120_000) }),
    ]);
    const [error] = stage(result, 'main').commands.filter(({ name }) => name === 'error');
    expect(error?.message).toContain('too large to be kept for the post step');
    expect(stage(result, 'main').exit).toBe(2);
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });
});
