import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { capture } from '../../../src/host/capture.ts';
import { openHost } from '../../../src/host/open.ts';
import { type Relay, startRelay } from '../../host/relay.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { until } from '../real/processes.ts';
import type { ScratchHost } from '../real/scratch-host.ts';

const bootIdFile = '/proc/sys/kernel/random/boot_id';

/**
 * A host that can restart while its files stay: what runs on it is gone at once, it has another boot
 * id, and its recovery at boot has run before anybody gets in. Needs root. A machine that really
 * boots is the lab's (test/lab); this one takes a second.
 */
export interface RebootingHost extends AsyncDisposable {
  sshd: Sshd;
  relay: Relay;
  restart(): Promise<void>;
}

export async function rebootingHost(host: ScratchHost): Promise<RebootingHost> {
  const file = join(host.folder, 'boot_id');
  let boots = 0;
  const newBoot = () => writeFileSync(file, `boot-${++boots}\n`);
  newBoot();
  const sshd = await startSshd({ instead: { [bootIdFile]: file } });
  const relay = await startRelay({ to: sshd.port });
  const restart = async () => {
    relay.down();
    await pullThePlug(sshd);
    newBoot();
    await using direct = await openHost(sshd.config());
    const state = join(host.root, 'var/lib/savepoint');
    const [digest = ''] = readdirSync(join(state, 'guard'));
    const guard = join(state, 'guard', digest, 'guard');
    const recovery = direct.run({ argv: ['/bin/sh', guard, 'boot', host.root, state] });
    const { exit, stderr } = await capture(recovery);
    if (exit.code !== 0) throw new Error(`Recovery at boot failed: ${stderr}`);
    relay.up();
  };
  return {
    sshd,
    relay,
    restart,
    [Symbol.asyncDispose]: async () => {
      await relay.stop();
      await pullThePlug(sshd);
      await sshd.stop();
    },
  };
}

/** Ends all that runs on the host, what is being started meanwhile too. */
async function pullThePlug(sshd: Sshd): Promise<void> {
  await until('nothing runs on the host', () => {
    const left = inside(sshd);
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // It ended by itself in the meantime.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    return left.length === 0;
  });
}

/** Every process in the mount namespace of the sshd, but the one that listens. */
function inside({ pid: listener }: Sshd): number[] {
  const world = (pid: number | string) => readlinkSync(`/proc/${pid}/ns/mnt`);
  const own = world(listener);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        // What may not be looked at is none of ours. A zombie has ended; nobody has asked for its status yet.
        const ended = /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        return pid !== listener && !ended && world(pid) === own;
      } catch (error) {
        if (['EACCES', 'ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''))
          return false;
        throw error;
      }
    });
}
