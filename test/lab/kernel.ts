import { join } from 'node:path';
import { must, needs } from './command.ts';
import type { Holder } from './holder.ts';
import { type Kind, type Machine, type MachineOptions, makeMachine } from './machine.ts';

/** A machine with a kernel of its own, whose date can be set. Slower by an order. */
export interface KernelMachine extends Machine {
  /** Moves its wall clock by so many seconds. */
  moveClock(seconds: number): Promise<void>;
}

/** Boots a Debian on user-mode Linux (Debian package user-mode-linux), an ordinary process. */
export async function bootKernel(options: MachineOptions = {}): Promise<KernelMachine> {
  await needs('linux.uml', 'ssh');
  const [machine] = await makeMachine(userModeLinux, options);
  return {
    ...machine,
    moveClock: async (seconds) => {
      await machine.exec(`date --set="@$(( $(date +%s) + ${Math.trunc(seconds)} ))"`);
    },
  };
}

const userModeLinux: Kind = {
  start: async (holder) => {
    await handOver(holder);
    return holder.launch([
      // Every system call in it is several switches here: on a busy machine it would crawl.
      ...['nice', '-n', '-10'],
      ...['linux.uml', 'mem=256M', `uml_dir=${holder.folder}`, 'umid=uml'],
      ...[`ubd0=${join(holder.folder, 'disk')}`, 'root=/dev/ubda', 'rw', 'selinux=0', 'quiet'],
      // One hardware address for all boots: ours would go on asking for the old one.
      ...['con=null', 'con0=null,fd:1'],
      'vec0:transport=raw,ifname=host0,gro=1,mac=02:00:00:00:00:01',
    ]);
  },
  shell: async (machine) => machine.sshArgv('root', '/bin/sh', '-eu'),
};

/** Disk and link become the machine's own: neither is ours from the first boot on. */
async function handOver(holder: Holder): Promise<void> {
  const script = `
    mountpoint -q "$1/root" || exit 0
    echo "$2/31" > "$1/root/etc/lab-address"
    umount "$1/root"
    ip address flush dev host0`;
  await must(holder.enter('sh', '-euc', script, 'sh', holder.folder, holder.address));
}
