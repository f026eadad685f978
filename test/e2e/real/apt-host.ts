import type { Sshd } from '../../host/sshd.ts';
import { type Item, ScratchHost } from './scratch-host.ts';

/** Fails as soon as one mirror does; by itself apt-get only warns. */
export const update = 'apt-get -q --error-on=any update';

const others = ['/etc/lab.conf', '/etc/absent.conf', '/etc/absent.d'];

/** A host root with a real apt configuration: `apt-get` works on it with `aptEnv`. */
export async function aptHost(sshd: Sshd, mirror: string): Promise<ScratchHost> {
  const host = new ScratchHost(
    {
      'etc/apt/sources.list': { text: source(mirror), mode: 0o664, owner: [0, 33] },
      'etc/apt/sources.list.d/old.list': { text: '# to be removed\n' },
      'etc/apt/sources.list.d/current.list': { link: '../sources.list.d/old.list' },
      'etc/apt/apt.conf.d/50lab': { text: 'Acquire::Languages "none";\nAcquire::Retries "0";\n' },
      'etc/apt/preferences.d': {},
      'etc/apt/trusted.gpg.d/lab.gpg': { link: '/usr/share/keyrings/lab.gpg' },
      'etc/apt/auth.conf': { text: 'machine mirror login lab\n', mode: 0o600, owner: [1234, 2345] },
      'etc/lab.conf': { link: 'neighbour.conf' },
      'etc/neighbour.conf': { text: 'not tracked\n' },
      'usr/share/keyrings/lab.gpg': { text: 'a keyring\n', mode: 0o444 },
      'var/lib/apt/lists/partial': {},
      'var/cache/apt/archives/partial': {},
      'var/lib/dpkg/status': { text: '' },
    },
    ['apt', ...others],
    ['/etc/apt', '/usr/share/keyrings', ...others],
    sshd,
  );
  host.put('var/apt.conf', {
    text: `Dir "${host.root}";
Dir::State::status "${host.root}/var/lib/dpkg/status";
Debug::NoLocking "true";
APT::Sandbox::User "root";
`,
  });
  await host.settle();
  return host;
}

/** Environment in which apt takes the root for the whole machine, also for an ordinary user. */
export function aptEnv({ root }: ScratchHost): Record<string, string> {
  return { APT_CONFIG: `${root}/var/apt.conf` };
}

/**
 * The change under test: another mirror, and every way to change a path: replaced (also a 0600 file
 * of somebody else's, and a link), added beside others, added where nothing was, removed.
 */
export function change(host: ScratchHost, mirror: string): { files: string; remove: string[] } {
  const items: Record<string, Item> = {
    'etc/apt/sources.list': { text: source(mirror) },
    'etc/apt/sources.list.d/lab.list': { text: '# added\n' },
    'etc/apt/auth.conf': { text: 'machine mirror login patch\n' },
    'etc/lab.conf': { text: 'a file now\n' },
    'etc/absent.conf': { text: 'new\n' },
    'etc/absent.d/deep/hook': { text: '#!/bin/sh\n', mode: 0o755 },
  };
  return {
    files: host.overlay('files', items),
    remove: ['/etc/apt/sources.list.d/old.list', '/etc/apt/sources.list.d/current.list'],
  };
}

function source(mirror: string): string {
  return `deb [trusted=yes] ${mirror} ./\n`;
}
