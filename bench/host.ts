import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SshTarget } from '../src/host/ssh-target.ts';
import { type Relay, startRelay } from '../test/host/relay.ts';
import { type Sshd, startSshd } from '../test/host/sshd.ts';

/** The round-trip times that a link adds, in milliseconds. */
export const roundTrips = [0, 50] as const;
export type RoundTrip = (typeof roundTrips)[number];

/** One way to the host. */
export interface Link {
  roundTrip: RoundTrip;
  config: SshTarget;
  /** The same for OpenSSH. */
  sshOptions: string[];
  /** `user@address` */
  destination: string;
}

/** The host that everything is measured on: one sshd, reached directly and through a slow link. */
export interface BenchHost extends AsyncDisposable {
  links: Link[];
  /** Scratch folder of the controller's side. */
  folder: string;
  /** Environment of every program: no settings of whoever runs the benchmark. */
  env: Record<string, string>;
}

/** The cipher and key exchange that Savepoint asks for first, for a like-for-like `ssh`. */
export const sameAlgorithms = ['-caes128-gcm@openssh.com', '-oKexAlgorithms=curve25519-sha256'];

export async function startBenchHost(): Promise<BenchHost> {
  const sshd = await startSshd({ config: ['Subsystem sftp internal-sftp'] });
  const relays: Relay[] = [];
  const links: Link[] = [];
  for (const roundTrip of roundTrips) {
    let port = sshd.port;
    if (roundTrip > 0) {
      const relay = await startRelay({ to: sshd.port, delayMs: roundTrip / 2 });
      relays.push(relay);
      port = relay.port;
    }
    links.push(linkTo(sshd, port, roundTrip));
  }
  const lines = links.map(({ config }) => `${config.knownHosts}\n`);
  writeFileSync(sshd.knownHostsFile, lines.join(''));
  const folder = mkdtempSync(join(sshd.folder, 'controller-'));
  const home = join(folder, 'home');
  mkdirSync(home);
  return {
    links,
    folder,
    env: { PATH: process.env.PATH ?? '', HOME: home, LANG: 'C.UTF-8', TMPDIR: folder },
    [Symbol.asyncDispose]: async () => {
      for (const relay of relays) await relay.stop();
      await sshd.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function linkTo(sshd: Sshd, port: number, roundTrip: RoundTrip): Link {
  const { user, keyPath, knownHostsFile } = sshd;
  const line = `[127.0.0.1]:${port} ${sshd.hostKey('ed25519')}`;
  return {
    roundTrip,
    config: sshd.config({ port, knownHosts: line }),
    sshOptions: [
      '-Fnone',
      `-p${port}`,
      `-i${keyPath}`,
      '-oIdentitiesOnly=yes',
      '-oBatchMode=yes',
      '-oStrictHostKeyChecking=yes',
      `-oUserKnownHostsFile=${knownHostsFile}`,
    ],
    destination: `${user}@127.0.0.1`,
  };
}
