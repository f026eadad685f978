import { join } from 'node:path';
import { must, needs } from './command.ts';
import type { Holder } from './holder.ts';
import { type Kind, type Machine, type MachineOptions, makeMachine } from './machine.ts';

/** A machine on this machine's kernel and clock, up in a quarter of a second. */
export interface Container extends Machine {
  /** Its root directory, seen from here, also while it is off. */
  readonly root: string;
  /** SIGSTOP to every sshd that serves a login: half-open for whoever is at the other end. */
  freezeSessions(): Promise<void>;
  thawSessions(): Promise<void>;
  /** Of a machine that is off: what it had not synced is gone, as if its power had been cut. */
  loseUnsynced(): Promise<void>;
}

/** Boots a Debian by systemd-nspawn. */
export async function bootContainer(options: MachineOptions = {}): Promise<Container> {
  await needs('systemd-nspawn', 'ssh');
  const [machine, holder] = await makeMachine(nspawn, options);
  // The listener is `sshd: /usr/sbin/sshd -D [listener]`; sessions name their user first.
  const signal = (name: string) =>
    machine.exec(`pkill -${name} -f '^sshd: (root|ci)( |@)'`).then(() => undefined);
  return {
    ...machine,
    root: holder.root,
    freezeSessions: () => signal('STOP'),
    thawSessions: () => signal('CONT'),
    loseUnsynced: async () => {
      await needs('xfs_io');
      const disk = join(holder.folder, 'disk');
      await must(holder.enter('sh', '-euc', shutDown, 'sh', join(holder.folder, 'root'), disk));
    },
  };
}

const nspawn: Kind = {
  start: (holder) =>
    holder.launch(
      [
        ...['systemd-nspawn', '--quiet', '--boot', '--directory', join(holder.folder, 'root')],
        // Neither machined nor a systemd here is asked for anything.
        ...['--register=no', '--keep-unit', '--machine=lab'],
        ...['--network-namespace-path=/proc/self/ns/net', '--resolv-conf=off', '--timezone=off'],
        ...['--link-journal=no', '--console=pipe'],
      ],
      { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
    ),
  shell: async (_machine, holder) => {
    const leader = await leaderOf(holder);
    const spaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    return ['nsenter', `--target=${leader}`, ...spaces, '--', '/bin/sh', '-eu'];
  },
};

/** Ends a file system without writing anything more to its disk, and mounts what that holds. */
const shutDown = 'xfs_io -x -c shutdown "$1"; umount "$1"; mount -o loop "$2" "$1"';

/** PID 1 of the container, as this machine numbers it. */
async function leaderOf(holder: Holder): Promise<number> {
  const init = `${holder.group}/boot/payload/init.scope/cgroup.procs`;
  const inside = await must(holder.enter('cat', init));
  const pid = Number(inside.split('\n')[0]);
  if (!(pid > 0)) throw new Error('The machine is off.');
  return pid;
}
