// A backend for Savepoint: a machine that systemd-nspawn boots from a copy of a disk image and
// that is gone at the end. Root, systemd-nspawn and OpenSSH are needed, and an image of a Debian
// or the like with systemd and sshd, as one file with a file system in it (ext4, say).
//
//   host: { type: backend, use: ./examples/backends/nspawn.mjs, with: { image: /srv/lab.img } }
//
// An ES module exports the verbs; run as a program, this file speaks the protocol for executables
// with the same ones. See docs/backends.md for both.
import { execFile, spawn } from 'node:child_process';
import { existsSync, openSync, realpathSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Starts the machine of this id, and says how it is reached. */
export async function open({ id, with: { image }, signal, log }) {
  if (typeof image !== 'string') throw new Error('with.image must be the path of a disk image');
  const folder = folderOf(id);
  await mkdir(folder, { mode: 0o700 });
  const port = await freePort();
  for (const name of ['key', 'host_key']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', id, '-f', join(folder, name)]);
  }
  await writeFile(join(folder, 'port'), `${port}\n`);
  await freshDisk(folder, image);
  await boot(id, signal, log);
  const hostKey = (await readFile(join(folder, 'host_key.pub'), 'utf8')).trim();
  return {
    endpoint: { host: '127.0.0.1', port, user: 'root', key: join(folder, 'key'), hostKey },
    // All else is in the folder, whose name comes from the id.
    state: { image },
  };
}

/** Ends the machine. Finds what there is by the id alone: open may have been cut short. */
export async function close({ id }) {
  await stop(id);
  await rm(folderOf(id), { recursive: true, force: true });
}

/** Starts it again from the image. */
export async function revert({ id, state, signal, log }) {
  await stop(id);
  await freshDisk(folderOf(id), state.image);
  await boot(id, signal, log);
}

/** Pulls the plug and starts it again from the disk that it has. */
export async function reboot({ id, signal, log }) {
  await stop(id);
  await boot(id, signal, log);
}

function folderOf(id) {
  if (!/^[a-z0-9-]{1,60}$/.test(id)) throw new Error(`"${id}" is no id`);
  return join(tmpdir(), `nspawn-${id}`);
}

async function freshDisk(folder, image) {
  await run('cp', ['--sparse=always', '--reflink=auto', image, join(folder, 'disk')]);
}

/**
 * Everything the machine needs in a mount namespace and a control group of its own. The loopback
 * interface is shared: its sshd listens there, on a port that nobody else has.
 */
const start = `
  mkdir -p "$1/root"
  mount -o loop "$1/disk" "$1/root"
  install -d -m 700 "$1/root/root/.ssh" "$1/root/etc/ssh/sshd_config.d"
  install -m 600 "$1/key.pub" "$1/root/root/.ssh/authorized_keys"
  install -m 600 "$1/host_key" "$1/root/etc/ssh/backend_key"
  read -r port < "$1/port"
  printf '%s\\n' "Port $port" 'ListenAddress 127.0.0.1' 'HostKey /etc/ssh/backend_key' \\
    'PermitRootLogin prohibit-password' > "$1/root/etc/ssh/sshd_config.d/00-backend.conf"
  sync --file-system "$1/root"
  mount -t tmpfs -o mode=755 tmpfs /run
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p "/sys/fs/cgroup/$2/boot"
  echo 0 > "/sys/fs/cgroup/$2/boot/cgroup.procs"
  exec systemd-nspawn --quiet --boot --directory="$1/root" --machine="$2" --register=no \\
    --keep-unit --resolv-conf=off --timezone=off --link-journal=no --console=pipe`;

async function boot(id, signal, log) {
  const folder = folderOf(id);
  const console = openSync(join(folder, 'console'), 'a');
  const machine = spawn('unshare', ['--mount', 'sh', '-euc', start, 'sh', folder, id], {
    // It goes on when this process ends, and nobody waits for its output.
    detached: true,
    stdio: ['ignore', console, console],
    env: { ...withoutMarks(process.env), SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
  });
  machine.unref();
  await writeFile(join(folder, 'pid'), `${machine.pid}\n`);
  log(`booting ${id}`);
  const port = Number(await readFile(join(folder, 'port'), 'utf8'));
  while (!(await greets(port))) {
    signal.throwIfAborted();
    if (machine.exitCode !== null || machine.signalCode !== null) {
      throw new Error(`it did not boot: ${await readFile(join(folder, 'console'), 'utf8')}`);
    }
    await delay(50);
  }
  log(`${id} answers on port ${port}`);
}

/** Kills all there is of it at once, as a power cut does, and waits until it is gone. */
async function stop(id) {
  const pidFile = join(folderOf(id), 'pid');
  if (!existsSync(pidFile)) return;
  const pid = (await readFile(pidFile, 'utf8')).trim();
  await run('sh', ['-euc', kill, 'sh', id, pid]);
}

/** The tree of control groups is mounted anew, wherever this machine has its own. */
const kill = `
  exec unshare --mount sh -euc '
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    group=/sys/fs/cgroup/$1
    if test -d "$group"; then
      echo 1 > "$group/cgroup.kill"
      until grep -q "^populated 0" "$group/cgroup.events"; do sleep 0.02; done
      find "$group" -depth -type d -exec rmdir {} +
    fi
    # Before it is in its group it is only the shell that was to start it.
    if tr "\\\\0" " " < "/proc/$2/cmdline" 2> /dev/null | grep -qF "$1"; then kill -KILL "$2"; fi
    while test -e "/proc/$2/root/." && tr "\\\\0" " " < "/proc/$2/cmdline" | grep -qF "$1"; do
      sleep 0.02
    done' sh "$1" "$2"`;

/** CIs kill at the end of a step or job what carries their marks; \`close\` ends the machine. */
function withoutMarks(env) {
  const marks = ['RUNNER_TRACKING_ID', 'JENKINS_NODE_COOKIE', 'BUILD_ID', 'SAVEPOINT_RUN'];
  return Object.fromEntries(Object.entries(env).filter(([name]) => !marks.includes(name)));
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function greets(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1000 });
    const end = (heard) => {
      socket.destroy();
      resolve(heard);
    };
    socket.once('data', (greeting) => end(String(greeting).startsWith('SSH-')));
    for (const event of ['error', 'close', 'timeout']) socket.once(event, () => end(false));
  });
}

// As a program: the verb is its argument, the request a line of JSON on standard input.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const verbs = { open, close, revert, reboot };
  const [, , verb] = process.argv;
  if (verb === 'capabilities') {
    process.stdout.write('{"capabilities":["close","revert","reboot"]}\n');
  } else if (Object.hasOwn(verbs, verb)) {
    const request = JSON.parse(await text(process.stdin));
    const signal = new AbortController().signal;
    const log = (line) => process.stderr.write(`${line}\n`);
    const answer = await verbs[verb]({ ...request, signal, log });
    process.stdout.write(`${JSON.stringify(answer ?? {})}\n`);
  } else {
    process.stderr.write('usage: nspawn.mjs capabilities|open|revert|reboot|close\n');
    process.exitCode = 2;
  }
}
