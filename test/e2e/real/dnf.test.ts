import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { packageName } from './apt-repository.ts';
import { change, dnfHost, makeDnfRepository } from './dnf-host.ts';
import { mainCases } from './main-cases.ts';
import { deadMirror, type Mirror, serve } from './mirror.ts';

/** dnf takes its configuration and keeps its caches below the root, as on the host itself. */
const dnf = 'dnf -q --installroot="$SAVEPOINT_ROOT" --releasever=9';

const mess = `
cd "$SAVEPOINT_ROOT/etc"
echo junk >>yum.repos.d/lab.repo
chmod 777 dnf/vars/lab
[ "$(id -u)" != 0 ] || chown 77:88 dnf/vars/lab dnf
touch pki/rpm-gpg/RPM-GPG-KEY-lab
cp --remove-destination dnf/dnf.conf yum.conf
rm -r yum.repos.d/more.repo rhsm
mkdir -p yum.repos.d/left/behind && echo junk >yum.repos.d/left/behind/file
ln -s /nowhere dnf/dangling
mv dnf/dnf.conf "dnf/with a space"
`;

const touched = [
  '/etc/dnf/vars',
  '/etc/dnf/vars/lab',
  '/etc/rhsm',
  '/etc/rhsm/rhsm.conf',
  '/etc/yum.repos.d',
  '/etc/yum.repos.d/lab.repo',
  '/etc/yum.repos.d/more.repo',
  '/etc/yum.repos.d/old.repo',
];

let folder: string;
let old: Mirror;
let good: Mirror;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'savepoint-mirrors-'));
  const mirror = async (version: string): Promise<Mirror> => {
    mkdirSync(join(folder, version));
    await makeDnfRepository(join(folder, version), version);
    return await serve(join(folder, version));
  };
  [old, good] = await Promise.all([mirror('1.0'), mirror('2.0')]);
});

afterAll(async () => {
  for (const mirror of [old, good]) await mirror[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('dnf on the local host', () => {
  mainCases(() => ({
    host: () => dnfHost(old.url),
    job: (host, mirror, more) => ({
      ...change(host, mirror === 'good' ? good.url : deadMirror),
      check: `${dnf} makecache`,
      // Debian's rpm keeps its database in the home below the root.
      env: { HOME: '/var/lib' },
      ...more,
    }),
    touched,
    offered: `${dnf} repoquery ${packageName}`,
    mess,
    complaint: /Cannot download repomd.xml/,
  }));
});
