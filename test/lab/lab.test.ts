import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { must, needs } from './command.ts';
import { bootContainer, type Container } from './container.ts';
import { labImage } from './image.ts';
import { bePatient, eventually } from './patience.ts';

const here = dirname(fileURLToPath(import.meta.url));

bePatient();

/** One machine for all that leaves it as it was. */
let machine: Container;

beforeAll(async () => {
  await labImage();
  machine = await bootContainer();
});
afterAll(() => machine.destroy());

test('root and ci log in by key, and ci has sudo without a password', async () => {
  expect(await machine.ssh('root', 'id -un')).toMatchObject({ code: 0, stdout: 'root\n' });
  expect(await machine.ssh('ci', 'id -un; sudo -n id -un')).toMatchObject({
    code: 0,
    stdout: 'ci\nroot\n',
  });
  expect((await machine.ssh('ci', 'exit 7')).code).toBe(7);
  expect(await machine.exec('systemctl is-system-running --wait')).toBe('running\n');
});

test('sudo allows what the test says and no more', async () => {
  await using machine = await bootContainer({ sudo: 'ci ALL=(root) NOPASSWD: /usr/bin/id' });
  expect((await machine.ssh('ci', 'sudo -n id -un')).stdout).toBe('root\n');
  expect((await machine.ssh('ci', 'sudo -n true')).code).not.toBe(0);
});

test('files keep xattrs, ACLs, capabilities and nanoseconds', async () => {
  const seen = await machine.exec(`
    cd /etc && echo x > a && setfattr -n user.note -v kept a && setfacl -m u:ci:r a
    setfattr -n security.selinux -v system_u:object_r:etc_t:s0 a
    setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= a
    touch -d '2001-02-03 04:05:06.123456789' a
    cp -a a b; mv b c; getfattr -d -m - c; getfacl -c c; stat -c %y c`);
  for (const kept of ['user.note="kept"', 'security.selinux', 'security.capability']) {
    expect(seen).toContain(kept);
  }
  expect(seen).toContain('user:ci:r--');
  expect(seen).toContain('04:05:06.123456789');
});

test.each(['ci', 'root'] as const)(
  'nothing that %s leaves behind outlives the login',
  async (user) => {
    // Each leaves a process that ignores the hang-up; the unit belongs to PID 1.
    const left = await machine.ssh(
      user,
      `nohup sleep 1000 > /dev/null 2>&1 < /dev/null & echo $!
     setsid sleep 1000 > /dev/null 2>&1 < /dev/null &
     sudo -n setsid -f sleep 1000 > /dev/null 2>&1 < /dev/null
     sudo -n systemd-run --quiet --collect --unit=stays sleep 1000`,
    );
    expect(left).toMatchObject({ code: 0, stderr: '' });
    await vi.waitFor(async () => {
      expect(await machine.exec('pgrep -c -x sleep || true')).toBe('1\n');
    }, eventually);
    expect(await machine.exec('systemctl is-active stays; systemctl stop stays')).toBe('active\n');
  },
);

test('a machine that lost power comes back with its disk and another boot id', async () => {
  await using machine = await bootContainer({
    prepare: `
      printf '%s\\n' '[Unit]' DefaultDependencies=no After=local-fs.target Before=ssh.service \\
        '[Service]' Type=oneshot 'ExecStart=/bin/sh -c "echo boot >> /root/boots"' \\
        '[Install]' WantedBy=sysinit.target > /etc/systemd/system/early.service
      systemctl enable --quiet early.service`,
  });
  const first = await machine.bootId();
  await machine.exec('echo kept > /root/kept; systemd-run --quiet --unit=lost sleep 1000');
  await machine.powerOff();
  await expect(machine.exec('true')).rejects.toThrow();
  expect(existsSync(join(machine.root, 'root/kept'))).toBe(true);
  await machine.boot();
  expect(await machine.exec('cat /root/kept /root/boots')).toBe('kept\nboot\nboot\n');
  expect(await machine.exec('systemctl is-active lost || true')).toBe('inactive\n');
  expect(await machine.bootId()).not.toBe(first);
});

test('a pulled cable leaves a login half-open, and it goes on when the cable is back', async () => {
  const login = halfOpenLogin(machine);
  await login.begun();
  await machine.link('down');
  login.say('hello\n');
  // Whoever asks anew gets no answer, whoever was there is told nothing.
  expect((await machine.ssh('ci', 'true')).code).toBe(255);
  expect(login.ended()).toBe(false);
  expect(await machine.exec(`cat ${login.heard}`)).toBe('');
  expect(await machine.exec('pgrep -c -f "^sshd: ci@"')).toBe('1\n');
  await machine.link('up');
  expect(await login.rest()).toBe('done\n');
});

test('a frozen login is half-open, and other logins work', async () => {
  const login = halfOpenLogin(machine);
  await login.begun();
  await machine.freezeSessions();
  login.say('hello\n');
  expect((await machine.ssh('ci', 'echo there')).stdout).toBe('there\n');
  expect(login.ended()).toBe(false);
  expect(await machine.exec(`cat ${login.heard}`)).toBe('');
  await machine.thawSessions();
  expect(await login.rest()).toBe('done\n');
});

test('machines do not see each other, and nothing is left of them', async () => {
  const [one, other] = await Promise.all([bootContainer(), bootContainer()]);
  expect(one.address).not.toBe(other.address);
  expect(await one.bootId()).not.toBe(await other.bootId());
  const folders = [one, other].map((machine) => dirname(machine.knownHosts));
  await one.destroy();
  expect((await other.ssh('ci', 'true')).code).toBe(0);
  await other.destroy();
  await other.destroy();
  for (const folder of folders)
    await vi.waitFor(async () => expect(await traces(folder)).toEqual([]), eventually);
});

test('a test process that is killed leaves nothing of its machine', async () => {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { bootContainer } = await import(${JSON.stringify(join(here, 'container.ts'))});
       const machine = await bootContainer();
       console.log(machine.knownHosts);
       setInterval(() => undefined, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const folder = dirname(
    await new Promise<string>((resolve) => child.stdout.once('data', (d) => resolve(String(d)))),
  );
  expect(await traces(folder)).not.toEqual([]);
  child.kill('SIGKILL');
  await vi.waitFor(async () => expect(await traces(folder)).toEqual([]), eventually);
});

test('a missing program is named with the command that installs it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'savepoint-path-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  onTestFinished(() => void vi.unstubAllEnvs());
  await symlink('/bin/sh', join(folder, 'sh'));
  vi.stubEnv('PATH', folder);
  await expect(needs('ip', 'systemd-nspawn')).rejects.toThrow(
    'apt-get install -y --no-install-recommends iproute2 systemd-container',
  );
});

let logins = 0;

/** A login that waits for a line, and says `done` once it has written it to a file. */
function halfOpenLogin(machine: Container) {
  const heard = `/tmp/heard-${++logins}`;
  const [program = '', ...words] = machine.sshArgv('ci', `head -n 1 > ${heard}; echo done`);
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const rest = text(child.stdout);
  return {
    heard,
    begun: () => vi.waitFor(() => machine.exec(`test -e ${heard}`), eventually),
    say: (line: string) => child.stdin.write(line),
    ended: () => child.exitCode !== null,
    rest: () => rest,
  };
}

/** What is there of a machine: its folder, mounts, loop devices, processes and control group. */
async function traces(folder: string): Promise<string[]> {
  const found = await must(['sh', '-c', 'losetup -a; cat /proc/self/mounts; ps -eo args']);
  const lines = found.split('\n').filter((line) => line.includes(folder));
  const groups = await must(['find', '/sys/fs/cgroup', '-name', 'savepoint-lab-*']);
  const links = Object.keys(networkInterfaces());
  // Other files may have machines of their own: a group whose link is gone is left over, or about to go.
  const left = groups.split('\n').filter((path) => {
    const link = path.split('savepoint-lab-')[1];
    return link !== undefined && !links.includes(link);
  });
  return [...lines, ...left, ...(existsSync(folder) ? [folder] : [])];
}
