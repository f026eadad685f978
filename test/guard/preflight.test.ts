import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { differences } from './manifest.ts';
import { Mounts } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

/** $1 is the host's root, in all that follows. */
const image = `truncate -s 40M "$1/image" && mkfs.ext4 -q -F "$1/image" &&
  mount -o loop "$1/image" "$1/etc" && mkdir "$1/etc/lab" && echo old >"$1/etc/lab/file"`;
const mebibyte = 'head -c 1048576 /dev/urandom >"$1/etc/lab/big"';
/** What was installed there moves along. */
const stateOn = (options: string) => `cp -a "$1/var/lib/savepoint" "$1/aside" &&
  mount -t tmpfs -o ${options} none "$1/var/lib/savepoint" &&
  cp -a "$1/aside/." "$1/var/lib/savepoint"`;
const without = (tool: string) => `mount --bind /dev/null "$(command -v ${tool})"`;

const notReplaceable = 'path-not-replaceable';
const mounted: [what: string, error: string, says: RegExp, script: string][] = [
  [
    'a tracked file that is a bind mount',
    notReplaceable,
    /\/etc\/absent is a mount point$/,
    'true >"$1/etc/absent" && mount --bind "$1/etc/absent" "$1/etc/absent"',
  ],
  [
    'a mount point in a tracked directory',
    notReplaceable,
    /\/etc\/lab\/a b is a mount point$/,
    'mkdir "$1/etc/lab/a b" && mount -t tmpfs none "$1/etc/lab/a b"',
  ],
  [
    'a read-only mount',
    notReplaceable,
    /^message \/etc\/lab cannot be replaced: \/etc\/ is read-only/,
    'mount --bind "$1/etc" "$1/etc" && mount -o remount,bind,ro "$1/etc"',
  ],
  [
    'an immutable file',
    notReplaceable,
    /^message \/etc\/lab\/file is immutable/,
    `${image} && chattr +i "$1/etc/lab/file"`,
  ],
  [
    'an append-only directory',
    notReplaceable,
    /^message \/etc\/lab\S* is immutable or append-only/,
    `${image} && chattr +a "$1/etc/lab"`,
  ],
  [
    'an immutable directory above',
    notReplaceable,
    /^message \/etc\/lab cannot be replaced/,
    `${image} && chattr +i "$1/etc"`,
  ],
  [
    'a file system of tracked paths with no room for a copy',
    'host-no-space',
    /etc\S* has \d+ KiB free.*; \d+ are needed$/,
    `mount -t tmpfs -o size=5m none "$1/etc" && mkdir "$1/etc/lab" && ${mebibyte}`,
  ],
  [
    'a file system of the state with no room for the backup',
    'host-no-space',
    /savepoint has \d+ KiB free.*; \d+ are needed$/,
    `${mebibyte} && ${stateOn('size=5m')}`,
  ],
  [
    'a file system of the state with too few inodes for the reserve',
    'host-no-space',
    /reserve/,
    stateOn('size=64m,nr_inodes=100'),
  ],
  ...['awk', 'cmp', 'mkfifo', 'sort', 'stat', 'tar', 'touch', 'xargs'].map(
    (tool): [string, string, RegExp, string] => [
      `a host without ${tool}`,
      'host-tools-missing',
      new RegExp(`^message this host has no ${tool},`),
      without(tool),
    ],
  ),
];

const lying: [what: string, error: string, says: RegExp, lay: (etc: string) => string][] = [
  [
    'a path below a symbolic link',
    'path-under-symlink',
    /^message \/etc\/link\/file is not below a directory of its own name but below '\S+\/etc\/lab'/,
    (etc) => {
      symlinkSync('lab', join(etc, 'link'));
      return '/etc/link/file';
    },
  ],
  [
    'an absent path whose next directory is one',
    'path-under-symlink',
    /^message \/etc\/link\/not\/yet is not below/,
    (etc) => {
      symlinkSync(join(etc, 'lab'), join(etc, 'link'));
      return '/etc/link/not/yet';
    },
  ],
  [
    'a path below a link to nothing',
    'path-under-symlink',
    /^message \/etc\/link\/file is not below/,
    (etc) => {
      symlinkSync('nothing', join(etc, 'link'));
      return '/etc/link/file';
    },
  ],
  [
    'a name that its lists cannot hold',
    notReplaceable,
    /^message the name \/etc\/odd\/a\?b holds/,
    (etc) => {
      mkdirSync(join(etc, 'odd'));
      writeFileSync(join(etc, 'odd', 'a\u0001b'), '');
      return '/etc/odd';
    },
  ],
  ['a path that goes up again', 'guard-protocol', /no plain absolute path/, () => '/etc/lab/../x'],
];

describe.each(guards)('%s', (_which, file) => {
  /** Asks for a begin in a namespace that `script` has prepared, and compares what is there. */
  async function refused(it: Conversation, script: string, ...lines: string[]) {
    using mounts = await Mounts.made(script, it.root);
    const before = mounts.lookAt(it.root);
    const headers = [`id ${it.id}`, 'token secret', ...it.site, ...lines];
    const answer = it.guard.call('begin', { headers, through: mounts.through });
    // A directory was made and removed above each tracked path, to know that it can be.
    const changed = differences(before, mounts.lookAt(it.root), (path, field) => {
      return path === '/etc' && field === 'mtime';
    });
    const state = mounts.at(it.guard.state);
    expect(changed).toEqual([]);
    expect(readdirSync(state).sort().join(' ')).toMatch(/^guard( lock)?( tx)?$/);
    for (const name of ['lock', 'tx'])
      expect(existsSync(join(state, name)) ? readdirSync(join(state, name)) : []).toEqual([]);
    expect(it.processes()).toEqual([]);
    return answer;
  }

  test.each(mounted)(
    'begin refuses %s, and changes nothing',
    async (_what, error, says, script) => {
      using it = new Conversation(file);
      const answer = await refused(it, script, 'track /etc/lab', 'track /etc/absent');
      expect(answer).toMatchObject({ ok: false, error, status: 1 });
      expect(answer.head[0]).toMatch(says);
    },
  );

  test.each(lying)('begin refuses %s, and changes nothing', async (_what, error, says, lay) => {
    using it = new Conversation(file);
    const path = lay(join(it.root, 'etc'));
    const answer = await refused(it, 'true', 'track /etc/lab', `track ${path}`);
    expect(answer).toMatchObject({ ok: false, error, status: 1 });
    expect(answer.head[0]).toMatch(says);
  });

  test('begin sees a mount also where the root is reached by a link', async () => {
    using it = new Conversation(file);
    const link = join(it.root, 'link');
    symlinkSync('.', link);
    const script = 'mkdir "$1/etc/lab/sub" && mount -t tmpfs none "$1/etc/lab/sub"';
    using mounts = await Mounts.made(script, it.root);
    const site = [`root ${link}`, `guard ${it.guard.sha256}`];
    const answer = it.guard.call('begin', {
      headers: [`id ${it.id}`, 'token secret', 'fence 3', ...site, 'track /etc/lab'],
      through: mounts.through,
    });
    expect(answer.error).toBe('path-not-replaceable');
  });
});
