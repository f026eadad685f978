import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchHost, Link } from './host.ts';
import { type Program, time } from './program.ts';

/** Where the programs are that we are compared with. */
export const peersFolder = fileURLToPath(new URL('peers', import.meta.url));

const needed = {
  'ansible-playbook': 'ansible-core',
  rsync: 'rsync',
  ssh: 'openssh-client',
} as const;

/** @throws Error with the line that installs them, when peers are missing. */
export function requirePeers(): void {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const missing: string[] = Object.entries(needed).flatMap(([program, debianPackage]) =>
    folders.some((folder) => existsSync(join(folder, program))) ? [] : [debianPackage],
  );
  if (!existsSync('/usr/sbin/sshd')) missing.push('openssh-server');
  if (missing.length === 0) return;
  throw new Error(
    `The benchmark needs Debian packages that are not installed. As root (or bash bench/setup.sh):
  apt-get update && apt-get install -y --no-install-recommends ${missing.join(' ')}`,
  );
}

/** `ssh` to the host, as the first words of a command. */
export function ssh(link: Link, more: readonly string[] = []): [string, ...string[]] {
  return ['ssh', ...link.sshOptions, ...more, '--', link.destination];
}

/** A shell command with a pipe in it, which fails when any part does. */
export function pipeline(script: string, args: readonly string[]): Program['argv'] {
  return ['bash', '-c', `set -o pipefail; ${script}`, 'bash', ...args];
}

/** Ansible on a number of hosts, which are all the same sshd. */
export interface Ansible {
  /** Fresh connections for each run, as in a job of its own. */
  run(argv: Program['argv']): Promise<number>;
  /** Ends the connections that a run left open. */
  settle(): Promise<void>;
  /** A word that is in the command line of each of its processes on this side. */
  word: string;
}

export interface AnsibleOptions {
  hosts?: number;
  /** Name of a configuration file in `peers`. */
  config?: string;
}

export function ansible(
  bench: BenchHost,
  link: Link,
  { hosts = 1, config = 'defaults.cfg' }: AnsibleOptions = {},
): Ansible {
  const folder = mkdtempSync(join(bench.folder, 'ansible-'));
  const { port, user, key } = link.config;
  const options = link.sshOptions.filter((option) => /^-(F|oIdent|oUserKnown)/.test(option));
  // Hosts with the same address would share one connection; a path of its own keeps each apart.
  const lines = Array.from(
    { length: hosts },
    (_, index) => `host-${index} ansible_control_path=${folder}/masters/${index}`,
  );
  const inventory = join(folder, 'inventory');
  writeFileSync(
    inventory,
    `[lab]
${lines.join('\n')}
[lab:vars]
ansible_host=127.0.0.1
ansible_port=${port}
ansible_user=${user}
ansible_ssh_private_key_file=${key}
ansible_ssh_common_args=${options.join(' ')}
`,
  );
  const masters = join(folder, 'masters');
  mkdirSync(masters);
  const env = { ...bench.env, ANSIBLE_CONFIG: join(peersFolder, config) };
  return {
    word: folder,
    run: ([command, ...args]) =>
      time({ argv: [command, '-i', inventory, ...args], env }, bench.folder),
    settle: async () => {
      for (const master of readdirSync(masters)) {
        const argv = ['ssh', '-Fnone', '-O', 'exit', '-S', join(masters, master), 'host'] as const;
        await time({ argv: [...argv], env: bench.env }, bench.folder);
      }
    },
  };
}
