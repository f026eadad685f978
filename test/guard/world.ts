import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Manifest, snapshot } from './manifest.ts';

/** Tracked paths of the world; /etc/absent.conf and /etc/absent.d are not there to begin with. */
export const tracked = [
  '/etc/absent.conf',
  '/etc/absent.d',
  '/etc/apt',
  '/etc/link.conf',
  '/etc/nasty',
  '/etc/single.conf',
];

/** Tracked paths that the change removes. */
export const removed = ['/etc/apt/sources.list.d/old.list', '/etc/apt/gone.d'];

/** Where the guard keeps its state below a root. */
export const stateDirectory = '/var/lib/savepoint';

const root = process.getuid?.() === 0;

/** Names that break careless scripts; bytes, because one is not UTF-8. The first three are changed. */
const nasty = [
  Buffer.from(' all \'of" these\\\t$(touch owned)`id`;*?[a] '),
  Buffer.from('-rf'),
  Buffer.from('\nnew\nlines\n'),
  Buffer.from('..two dots'),
  Buffer.from([0x6e, 0xff, 0xfe, 0x80, 0x2e, 0x63]),
];

function put(path: string | Buffer, content: string | Buffer, mode = 0o644): void {
  writeFileSync(path, content);
  chmodSync(path, mode);
}

function under(dir: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${dir}/`), name]);
}

function command(...argv: [string, ...string[]]): void {
  const [name, ...rest] = argv;
  const run = spawnSync(name, rest, { encoding: 'utf8' });
  if (run.status !== 0) {
    throw new Error(`${argv.join(' ')}: ${run.error?.message ?? run.stderr}`);
  }
}

/**
 * Fills `at` with a host root whose tracked trees hold everything a backup can lose, and
 * neighbours that no transaction may touch. As another user than root, what needs root is left out.
 */
export function buildWorld(at: string): void {
  const etc = join(at, 'etc');
  const apt = join(etc, 'apt');
  for (const dir of ['sources.list.d', 'apt.conf.d', 'empty.d', 'gone.d/deep', 'nested/a/b']) {
    mkdirSync(join(apt, dir), { recursive: true });
  }
  mkdirSync(join(at, 'var/lib'), { recursive: true });
  put(join(apt, 'sources.list'), 'deb http://old.example/debian bookworm main\n');
  put(join(apt, 'sources.list.d/debian.sources'), 'Types: deb\nURIs: http://old.example\n');
  put(join(apt, 'sources.list.d/old.list'), 'deb http://older.example/debian bookworm main\n');
  put(join(apt, 'apt.conf.d/01proxy'), 'Acquire::http::Proxy "http://proxy.example";\n', 0o600);
  put(join(apt, 'gone.d/deep/file'), 'to be removed\n');
  put(join(apt, 'nested/a/b/c'), 'deep\n', 0o755);
  put(join(apt, 'empty'), '');
  put(join(apt, 'setuid'), '#!/bin/sh\n', 0o4755);
  put(join(apt, 'big'), Buffer.alloc(300_000, `${'big file '.repeat(100)}\n`));
  const sparse = openSync(join(apt, 'sparse'), 'w');
  ftruncateSync(sparse, 1 << 20);
  writeSync(sparse, 'end', 1 << 19);
  closeSync(sparse);
  linkSync(join(apt, 'sources.list'), join(apt, 'nested/same-as-sources.list'));
  symlinkSync('sources.list', join(apt, 'relative-link'));
  symlinkSync('/nowhere/at all', join(apt, 'dangling-link'));
  symlinkSync('/etc', join(apt, 'absolute-link'));
  symlinkSync('nested', join(apt, 'link-to-directory'));
  command('mkfifo', join(apt, 'fifo'));

  const odd = join(etc, 'nasty');
  mkdirSync(odd);
  for (const name of nasty) put(under(odd, name), `old ${name.toString('latin1')}\n`);
  mkdirSync(join(odd, 'dir\nwith newline'));
  put(join(odd, 'dir\nwith newline/-file'), 'old\n');
  linkSync(join(apt, 'empty'), join(odd, 'linked across tracked paths'));
  symlinkSync('target\nwith newline', join(odd, 'link\nwith newline'));

  put(join(etc, 'single.conf'), 'old single\n', 0o640);
  symlinkSync('neighbour.conf', join(etc, 'link.conf'));
  put(join(etc, 'neighbour.conf'), 'not tracked\n');
  put(join(etc, 'single.conf.orig'), 'not tracked either\n');
  mkdirSync(join(etc, 'apt.other'));
  put(join(etc, 'apt.other/file'), 'not tracked\n');
  if (root) decorate(etc);
  setTimes(etc);
}

/** What only root may set: owners, attributes, ACLs, labels, capabilities, set-group-id. */
function decorate(etc: string): void {
  const apt = join(etc, 'apt');
  chownSync(join(etc, 'single.conf'), 1234, 2345);
  chownSync(join(apt, 'nested/a/b/c'), 33, 44);
  chownSync(join(apt, 'nested'), 0, 33);
  chmodSync(join(apt, 'nested'), 0o2775);
  chmodSync(join(apt, 'setuid'), 0o4755);
  command('chown', '-h', '77:88', join(apt, 'dangling-link'));
  command('setfattr', '-n', 'user.note', '-v', 'old "note"', join(etc, 'single.conf'));
  command('setfattr', '-n', 'user.binary', '-v', '0x00ff0a3d', join(apt, 'sources.list'));
  command('setfattr', '-n', 'user.dir', '-v', 'on a directory', join(apt, 'empty.d'));
  command('setfattr', '-n', 'trusted.odd', '-v', 'x', join(etc, 'nasty', '-rf'));
  for (const path of ['sources.list', 'sources.list.d', 'relative-link']) {
    // A label ends with a NUL byte, as SELinux itself writes it.
    const label = Buffer.from(`system_u:object_r:etc_${path.length}_t:s0\0`).toString('hex');
    command('setfattr', '-h', '-n', 'security.selinux', '-v', `0x${label}`, join(apt, path));
  }
  command('setfacl', '-m', 'u:daemon:rw,g:bin:r', join(apt, 'sources.list.d/debian.sources'));
  command('setfacl', '-d', '-m', 'u:daemon:rwx', join(apt, 'sources.list.d'));
  command('setcap', 'cap_net_raw+ep', join(apt, 'nested/a/b/c'));
}

/** Times far from now, with nanoseconds; deepest first, so that no directory is touched again. */
function setTimes(etc: string): void {
  const touch = (when: string, ...paths: string[]) => command('touch', '-h', '-d', when, ...paths);
  const apt = join(etc, 'apt');
  touch('2001-02-03 04:05:06.123456789', join(apt, 'sources.list'), join(etc, 'single.conf'));
  touch('1970-01-01 00:00:00.000000001Z', join(apt, 'empty'));
  touch('2037-12-31 23:59:59.999999999', join(apt, 'relative-link'), join(etc, 'nasty'));
  touch('2012-12-12 12:12:12.121212121', join(apt, 'empty.d'), join(apt, 'sources.list.d'), apt);
}

/**
 * The change: a tar archive as the controller sends it, to be laid over the tracked paths.
 * It adds, replaces and links, at the top, deep down and in directories that are not there yet.
 */
export function buildOverlay(scratch: string): Buffer {
  const tree = join(scratch, 'overlay');
  rmSync(tree, { recursive: true, force: true });
  const file = (path: string | Buffer, content: string, mode = 0o644) => {
    const full = Buffer.isBuffer(path) ? under(tree, path) : join(tree, path);
    mkdirSync(dirname(full.toString('latin1')), { recursive: true });
    put(full, content, mode);
  };
  file('etc/absent.conf', 'new, was absent\n');
  file('etc/absent.d/one/file', 'new in a new directory\n');
  file('etc/apt/sources.list', 'deb http://new.example/debian bookworm main\n');
  file('etc/apt/sources.list.d/debian.sources', 'Types: deb\nURIs: http://new.example\n');
  file('etc/apt/sources.list.d/new.sources', 'Types: deb\nURIs: http://newer.example\n');
  file('etc/apt/apt.conf.d/02new', 'Acquire::Retries "3";\n', 0o755);
  file('etc/apt/new.d/deep/er/file', 'new\n');
  file('etc/apt/nested/a/b/c', 'new and deep\n', 0o755);
  file('etc/apt/big', `${'n'.repeat(999)}\n`.repeat(200));
  file('etc/nasty/linked across tracked paths', 'new, one of two names\n');
  file('etc/link.conf', 'new, a file instead of a link\n');
  file('etc/single.conf', 'new single\n');
  symlinkSync('sources.list.d/new.sources', join(tree, 'etc/apt/new-link'));
  for (const name of nasty.slice(0, 3)) {
    file(Buffer.concat([Buffer.from('etc/nasty/'), name]), `new ${name.toString('latin1')}\n`);
  }
  file(Buffer.concat([Buffer.from('etc/nasty/added\n'), Buffer.from([0xff])]), 'new\n');
  const tar = spawnSync('tar', ['-cf', '-', '-C', tree, '.'], { maxBuffer: 1 << 26 });
  if (tar.status !== 0) throw new Error(`tar: ${tar.stderr}`);
  return tar.stdout;
}

/** Everything below the root but the guard's own state. */
export function lookAt(at: string): Manifest {
  return snapshot(at, (path) => path !== stateDirectory);
}

/** Whether a path is tracked or below something tracked. */
export function isTracked(path: string): boolean {
  return tracked.some((t) => path === t || path.startsWith(`${t}/`));
}
