import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../lab/command.ts';
import { packageName } from './apt-repository.ts';
import { type Item, ScratchHost } from './scratch-host.ts';

/** Makes a dnf repository with one package in `folder`: an .rpm built by rpmbuild, indexed by createrepo_c. */
export async function makeDnfRepository(folder: string, version: string): Promise<void> {
  const build = join(folder, 'build');
  mkdirSync(build, { recursive: true });
  const spec = `Name: ${packageName}
Version: ${version}
Release: 1
Summary: what a lab host needs
License: MIT
BuildArch: noarch
%description
What a lab host needs.
%files
`;
  writeFileSync(join(build, 'tools.spec'), spec);
  const define = [`_topdir ${build}`, `_rpmdir ${folder}`].flatMap((it) => ['--define', it]);
  await must(['rpmbuild', '-bb', '--quiet', ...define, join(build, 'tools.spec')]);
  await must(['createrepo_c', '--quiet', folder]);
}

/** A host root with a real dnf configuration as EL8 has it, on the machine of the tests itself. */
export async function dnfHost(mirror: string): Promise<ScratchHost> {
  const host = new ScratchHost(
    {
      'etc/dnf/dnf.conf': { text: '[main]\ngpgcheck=0\nretries=1\n' },
      'etc/dnf/vars/lab': { text: 'seven\n', mode: 0o600, owner: [1234, 2345] },
      'etc/yum.conf': { link: 'dnf/dnf.conf' },
      'etc/yum.repos.d/lab.repo': { text: repo(mirror), mode: 0o664, owner: [0, 33] },
      'etc/yum.repos.d/old.repo': { text: '# to be removed\n' },
      'etc/pki/rpm-gpg/RPM-GPG-KEY-lab': { text: 'a key\n', mode: 0o444 },
    },
    ['dnf'],
    ['/etc/dnf', '/etc/yum.repos.d', '/etc/yum.conf', '/etc/pki/rpm-gpg', '/etc/rhsm'],
  );
  await host.settle();
  return host;
}

/** The change under test: another mirror, and every way to change a path. */
export function change(host: ScratchHost, mirror: string): { files: string; remove: string[] } {
  const items: Record<string, Item> = {
    'etc/yum.repos.d/lab.repo': { text: repo(mirror) },
    'etc/yum.repos.d/more.repo': { text: '# added\n' },
    'etc/dnf/vars/lab': { text: 'eight\n' },
    'etc/rhsm/rhsm.conf': { text: '# added where nothing was\n' },
  };
  return { files: host.overlay('files', items), remove: ['/etc/yum.repos.d/old.repo'] };
}

function repo(mirror: string): string {
  return `[lab]\nname=lab\nbaseurl=${mirror}\n`;
}
