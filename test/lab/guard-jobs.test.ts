import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { bootContainer } from './container.ts';
import { startJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient } from './patience.ts';
import { expectRestored, furnish, look, owned } from './protected.ts';
import { endOf, folderOf } from './transactions.ts';

bePatient();

beforeAll(async () => {
  await labImage();
});

/** logind as Debian has it: what a job leaves behind only the guard can end. */
const lenient = `printf '[Login]\\nKillUserProcesses=no\\n' > /etc/systemd/logind.conf.d/lab.conf`;

const beats = '/var/tmp/beats';

/** Processes that will not go: each notes the time, and writes to a tracked path, again and again. */
const stubborn = {
  trap: '/var/tmp/beat trap &',
  setsid: 'setsid /var/tmp/beat setsid &',
  nohup: 'nohup /var/tmp/beat nohup &',
  daemon: "( cd /; setsid sh -c '/var/tmp/beat daemon & exit' & )",
  // Nothing in its environment tells where it comes from.
  unmarked: 'env -i setsid /var/tmp/beat unmarked &',
  // Ends at TERM, and leaves another.
  heir: `setsid sh -c 'trap "env -i setsid /var/tmp/beat heir & exit" TERM
    date +%s%N > ${beats}/testator; while :; do sleep 0.1; done' &`,
} as const;

const start = `
mkdir -p ${beats}
cat > /var/tmp/beat <<'END'
#!/bin/sh
trap '' TERM HUP INT
while :; do date +%s%N >> ${beats}/$1; echo $1 >> ${owned}/$1; sleep 0.1; done
END
chmod 755 /var/tmp/beat
exec 3>&1 > /dev/null 2>&1
${Object.values(stubborn).join('\n')}
until [ $(ls ${beats} | wc -l) -ge ${Object.keys(stubborn).length} ]; do sleep 0.1; done
exec >&3 3>&-
echo ready`;

test.concurrent.each([
  ['root', 'its controller is killed', 'sleep 1000', 'watchdog'],
  ['ci', 'its controller is killed', 'sleep 1000', 'watchdog'],
  ['ci', 'it fails', 'exit 1', 'controller'],
] as const)(
  'what a phase of %s leaves running is dead before the restore: %s',
  async (user, _, last, by) => {
    await using machine = await bootContainer({ furnish, prepare: lenient });
    const before = look(machine.root);
    await using controller = await startJob(machine, {
      user,
      // Those that trap TERM are given a grace, which must not outlast a lease that is to be kept.
      lease: by === 'watchdog' ? 15 : 120,
      phases: { test: `${start}\n${last}` },
    });
    const id = await controller.id();
    await controller.says('ready');
    if (by === 'watchdog') controller.kill('SIGKILL');
    const end = await endOf(machine.root, id);
    expect(await machine.exec('pgrep -a -f /var/tmp/beat || true')).toBe('');
    // What they write once their phase has ended cannot be told from an edit by someone else.
    expect(by === 'watchdog' ? ['rolled-back'] : ['rolled-back', 'conflict']).toContain(
      end.outcome,
    );
    expect(end.by === 'watchdog').toBe(by === 'watchdog');
    expectRestored(machine.root, before);
    // The diff of what is undone is the last that the guard writes before it undoes it.
    const restore = statSync(join(folderOf(machine.root, id), 'diff'), { bigint: true }).mtimeNs;
    for (const name of readdirSync(join(machine.root, beats))) {
      const times = readFileSync(join(machine.root, beats, name), 'utf8')
        .trim()
        .split('\n');
      expect(BigInt(times.at(-1) ?? 0), name).toBeLessThan(restore);
    }
    await delay(1000);
    expectRestored(machine.root, before);
  },
);

test.concurrent.each(['root', 'ci'] as const)(
  'phases run as %s when that is the login',
  async (user) => {
    await using machine = await bootContainer({ furnish });
    await using controller = await startJob(machine, {
      user,
      phases: { setup: 'echo "phase $(id)"', test: 'echo "home $HOME"; umask; pwd' },
    });
    expect(await controller.ended, controller.printed()).toBe(0);
    const login = await machine.ssh(user, 'id; echo "home $HOME"; umask; pwd');
    const [id, ...rest] = login.stdout.trim().split('\n');
    const said = controller.printed();
    expect(said).toContain(`phase ${id}`);
    for (const line of rest) expect(said).toContain(` | ${line}\n`);
  },
);
