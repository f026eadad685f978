import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../host/sshd.ts';
import { folder } from '../unit/job-fixture.ts';
import { scene as actionScene, resultFile, stage, savepoint as step } from './action-scene.ts';
import { backendFile } from './backend-scene.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

describe('the action, on the host of a backend', () => {
  test('keeps the endpoint for post, which takes the host back', async () => {
    const it = actionScene();
    const box = backendFile(sshd);
    const result = await it.runner.run([
      step(it, { host: `backend:${box.path}`, run: 'echo there' }),
      { run: 'exit 1' },
    ]);
    expect(stage(result, 'main').log.join('\n')).toContain('backend: ::error::open says so');
    expect(
      result.steps.flatMap(({ commands }) => commands).filter(({ name }) => name === 'error'),
    ).toEqual([]);
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back' });
    expect(box.verbs()).toEqual(['open', 'close']);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('takes the host back in post when main was killed', async () => {
    const it = actionScene();
    const box = backendFile(sshd);
    const running = it.runner.run([
      step(it, { host: `backend:${box.path}`, run: 'echo in phase; sleep 600' }),
    ]);
    await it.runner.seen('in phase');
    it.runner.killStep();
    expect(stage(await running, 'post')).toMatchObject({ exit: 0 });
    expect(box.verbs()).toEqual(['open', 'close']);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('takes back in post what main was killed over opening', async () => {
    const it = actionScene();
    const path = join(folder(), 'box');
    const log = `${path}.log`;
    const verbs = `echo $1 >> ${log}
case $1 in capabilities) echo '{"capabilities":["close"]}';; open) echo opening >&2; sleep 600;; esac`;
    writeFileSync(path, `#!/bin/sh\n${verbs}\n`, { mode: 0o755 });
    const running = it.runner.run([step(it, { host: `backend:${path}`, run: 'true' })]);
    await it.runner.seen('opening');
    it.runner.killStep();
    const post = stage(await running, 'post');
    expect(post).toMatchObject({ exit: 0 });
    expect(readFileSync(log, 'utf8').trim().split('\n').at(-1)).toBe('close');
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });

  test('refuses a backend in the workspace, unless an input allows it by name', async () => {
    const given = { host: 'backend:ci/box', run: 'true' };
    const it = actionScene();
    mkdirSync(join(it.runner.workspace, 'ci'));
    const box = backendFile(sshd, join(it.runner.workspace, 'ci/box'));
    const refused = await it.runner.run([step(it, given)]);
    expect(stage(refused, 'main')).toMatchObject({ exit: 2 });
    expect(stage(refused, 'main').log.join('\n')).toContain('backend-refused');
    expect(box.calls()).toEqual([]);

    const again = actionScene();
    mkdirSync(join(again.runner.workspace, 'ci'));
    const allowed = backendFile(sshd, join(again.runner.workspace, 'ci/box'));
    const result = await again.runner.run([step(again, { ...given, 'allow-backend': 'ci/box' })]);
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(allowed.verbs()).toEqual(['open', 'close']);
  });

  test('runs nothing in post that the job changed, and decides all the same', async () => {
    const it = actionScene();
    const box = backendFile(sshd, join(it.runner.workspace, 'box'));
    const result = await it.runner.run([
      step(it, { host: 'backend:box', 'allow-backend': 'box', run: 'true' }),
      { run: `printf '#!/bin/sh\\ntouch ${it.runner.temp}/ran\\n' > box` },
      { run: 'exit 1' },
    ]);
    const post = stage(result, 'post');
    expect(post.exit).toBe(3);
    expect(post.log.join('\n')).toContain('is not what it was when the run began');
    expect(existsSync(join(it.runner.temp, 'ran'))).toBe(false);
    expect(box.verbs()).toEqual(['open']);
    expect(it.root.snapshot()).toEqual(it.before);
  });
});
