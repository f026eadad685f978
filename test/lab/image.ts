import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, needs } from './command.ts';

const here = dirname(fileURLToPath(import.meta.url));
const recipe = join(here, 'build-image.sh');
const suite = 'bookworm';

/** A disk with a Debian on it, and what is needed to log in to a machine that runs it. */
export interface LabImage {
  /** ext4 file system, one for all machines: copy it, never boot it. */
  readonly disk: string;
  /** Private key of `root` and `ci`. */
  readonly key: string;
  /** `ssh-ed25519 AAAA…` of the machine's sshd. */
  readonly hostKey: string;
}

/**
 * The image of the present recipe. Built when there is none (half a minute), then kept in
 * `test/.cache/lab`, or in $SAVEPOINT_LAB_CACHE. Several processes may ask at once.
 * @throws Error when a program is missing or the machine's apt knows no mirror of the suite.
 */
export async function labImage(): Promise<LabImage> {
  const cache = process.env.SAVEPOINT_LAB_CACHE ?? join(here, '..', '.cache', 'lab');
  const version = createHash('sha256')
    .update(await readFile(recipe))
    .digest('hex')
    .slice(0, 16);
  const folder = join(cache, version);
  if (!existsSync(folder)) await build(cache, folder);
  const hostKey = await readFile(join(folder, 'host_key.pub'), 'utf8');
  return {
    disk: join(folder, 'root.img'),
    key: join(folder, 'id_ed25519'),
    hostKey: hostKey.split(' ').slice(0, 2).join(' '),
  };
}

/** Builds beside the image's place and renames: a build that was killed leaves no half image. */
async function build(cache: string, folder: string): Promise<void> {
  await needs('flock', 'mmdebstrap', 'mkfs.ext4', 'chroot');
  await mkdir(cache, { recursive: true, mode: 0o700 });
  const once = `
    if test -e "$1"; then exit; fi
    rm -rf "$1.new"
    mkdir "$1.new"
    "$2" "$1.new" "$3" "$4"
    mv "$1.new" "$1"`;
  await must(
    ['flock', join(cache, 'lock'), 'sh', '-euc', once, 'sh', folder, recipe, suite, await mirror()],
    { env: await proxy() },
  );
}

/** First mirror of the suite in this machine's own apt sources. */
async function mirror(): Promise<string> {
  const format = '$(RELEASE) $(COMPONENT) $(REPO_URI)';
  const targets = await must([
    'apt-get',
    'indextargets',
    '--format',
    format,
    'Created-By: Packages',
  ]);
  const wanted = `${suite} main `;
  const line = targets.split('\n').find((target) => target.startsWith(wanted));
  if (line === undefined) {
    throw new Error(
      `The lab needs a mirror of Debian ${suite} main; apt has: ${targets || 'none'}`,
    );
  }
  return line.slice(wanted.length);
}

/** A proxy that only apt's configuration names must reach the build's own apt too. */
async function proxy(): Promise<Record<string, string>> {
  const found = await must(['apt-config', 'shell', 'url', 'Acquire::http::Proxy']);
  const url = /^url='(.+)'$/m.exec(found)?.[1];
  return url === undefined ? {} : { http_proxy: url };
}
