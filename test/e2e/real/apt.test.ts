import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aptEnv, change, update } from './apt-host.ts';
import { type AptLab, startAptLab } from './apt-lab.ts';
import { packageName } from './apt-repository.ts';
import { mainCases } from './main-cases.ts';
import { deadMirror } from './mirror.ts';
import { isRoot, type JobFields, type ScratchHost } from './scratch-host.ts';

const mess = `
cd "$SAVEPOINT_ROOT/etc"
echo junk >>apt/sources.list
chmod 777 apt/auth.conf
[ "$(id -u)" != 0 ] || chown 77:88 apt/auth.conf ../usr/share/keyrings
touch ../usr/share/keyrings/lab.gpg
rm -r apt/trusted.gpg.d absent.d
mkdir -p apt/left/behind && echo junk >apt/left/behind/file
ln -s /nowhere apt/preferences.d/dangling
ln -sf /nowhere lab.conf
mv apt/apt.conf.d/50lab "apt/apt.conf.d/with a space"
`;

const touched = [
  '/etc/absent.conf',
  '/etc/absent.d',
  '/etc/absent.d/deep',
  '/etc/absent.d/deep/hook',
  '/etc/apt',
  '/etc/apt/auth.conf',
  '/etc/apt/sources.list',
  '/etc/apt/sources.list.d',
  '/etc/apt/sources.list.d/current.list',
  '/etc/apt/sources.list.d/lab.list',
  '/etc/apt/sources.list.d/old.list',
  '/etc/lab.conf',
];

let lab: AptLab;

beforeAll(async () => {
  lab = await startAptLab();
});

afterAll(() => lab[Symbol.asyncDispose]());

function job(host: ScratchHost, mirror: 'good' | 'dead', more: JobFields): JobFields {
  const url = mirror === 'good' ? lab.good.url : deadMirror;
  return { ...change(host, url), env: aptEnv(host), check: update, ...more };
}

describe('apt on a host over SSH', () => {
  mainCases(() => ({
    host: lab.host,
    job,
    touched,
    offered: `apt-cache policy ${packageName} | grep Candidate`,
    mess,
    complaint: new RegExp(new URL(deadMirror).host),
  }));

  test('what is committed keeps owner and mode of what it replaced; the rest has those of new files', async () => {
    using host = await lab.host();
    expect(await host.run(job(host, 'good', {}))).toMatchObject({ code: 0 });

    const after = host.look();
    const text = (path: string) => readFileSync(join(host.root, path), 'utf8');
    const me = `${process.getuid?.()}:${process.getgid?.()}`;
    const ifRoot = (owner: string) => (isRoot ? owner : me);
    expect(text('etc/apt/auth.conf')).toBe('machine mirror login patch\n');
    expect(after.get('/etc/apt/auth.conf')).toMatchObject({
      mode: '600',
      owner: ifRoot('1234:2345'),
    });
    expect(text('etc/apt/sources.list')).toContain(lab.good.url);
    expect(after.get('/etc/apt/sources.list')).toMatchObject({
      mode: '664',
      owner: ifRoot('0:33'),
    });
    expect(after.get('/etc/lab.conf')).toMatchObject({ type: 'file', mode: '644', owner: me });
    expect(after.get('/etc/absent.conf')).toMatchObject({ type: 'file', mode: '644', owner: me });
    expect(after.get('/etc/absent.d/deep/hook')).toMatchObject({ mode: '755', owner: me });
    expect(text('etc/neighbour.conf')).toBe('not tracked\n');
    expect(after.has('/etc/apt/sources.list.d/old.list')).toBe(false);
    expect(after.has('/etc/apt/sources.list.d/current.list')).toBe(false);
  });
});
