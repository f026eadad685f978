import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { savepoint } from './savepoint.ts';
import { hostFields, ScratchHost } from './scratch-host.ts';

let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd();
});

afterAll(() => sshd.stop());

test('`status` and `recover` of a recorded transaction take the key from where begin took it, or from an option', async () => {
  using host = new ScratchHost({ 'etc/lab.conf': { text: 'old\n' } }, ['/etc/lab.conf'], [], sshd);
  const before = host.look();
  const key = readFileSync(sshd.keyPath, 'utf8');
  const run = (env: Record<string, string>, ...words: string[]) =>
    savepoint([...words, '--json'], { cwd: host.folder, env });
  const job = host.job({
    host: hostFields(sshd, { key: undefined, 'key-env': 'LAB_KEY' }),
    files: host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } }),
  });
  expect(await run({ LAB_KEY: key }, 'begin', job, '--while', '0')).toMatchObject({ code: 0 });

  const open = { code: 0, json: { open: { track: ['/etc/lab.conf'] } } };
  expect(await run({ LAB_KEY: key }, 'status')).toMatchObject(open);
  expect(await run({}, 'status', '--key', sshd.keyPath)).toMatchObject(open);
  const refused = await run({}, 'recover');
  expect(refused).toMatchObject({ code: 2, json: { error: { name: 'key-missing' } } });
  expect(refused.stderr).toContain('LAB_KEY');
  expect(await run({ OTHER: key }, 'recover', '--key-env', 'OTHER')).toMatchObject({
    code: 0,
    json: { ended: [{ outcome: 'rolled-back' }] },
  });
  expect(host.changesSince(before)).toEqual([]);
});
