import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Mounts, ownRoot } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

/** A host without systemd, and what starts programs at its boot. systemd's part is test/lab's. */
interface Kind {
  /** Files that tell it; those in `managers` are programs. */
  has: string[];
  /** What begin puts there, its mode and text. */
  file: string;
  mode: number;
  text: string;
  /** As the host runs it at boot. */
  command: string;
}

const boot = '/var/lib/savepoint/boot';
const kinds: [name: string, kind: Kind][] = [
  [
    'OpenRC, which runs what is in local.d',
    {
      has: ['etc/runlevels/default/local', 'etc/local.d/README'],
      file: 'etc/local.d/savepoint.start',
      mode: 0o755,
      text: `#!/bin/sh\n/bin/sh ${boot}\n`,
      command: '/etc/local.d/savepoint.start',
    },
  ],
  ...['cron', 'crond'].map((daemon): [string, Kind] => [
    daemon,
    {
      has: ['etc/cron.d/.placeholder', `managers/${daemon}`],
      file: 'etc/cron.d/savepoint',
      mode: 0o644,
      text: `@reboot root /bin/sh ${boot}\n`,
      command: `/bin/sh ${boot}`,
    },
  ]),
];

const nothing: [name: string, has: string[]][] = [
  ['nothing of the sort', []],
  ['a folder for cron, but no cron', ['etc/cron.d/.placeholder']],
  ['the folder of OpenRC, whose service for it is off', ['etc/local.d/README']],
];

describe.each(guardsSince('1.2.0'))('%s, on a host with', (_which, file) => {
  /** The root of a host, in which the guard works as it does on `/`. */
  async function host(has: string[]) {
    const it = new Conversation(file);
    const mounts = await Mounts.made(ownRoot, it.root);
    for (const path of has) {
      mkdirSync(dirname(join(it.root, path)), { recursive: true });
      writeFileSync(join(it.root, path), '#!/bin/sh\n', { mode: 0o755 });
    }
    const through = [...mounts.through, 'chroot', it.root];
    const headers = [`id ${it.id}`, 'token secret', `guard ${it.guard.sha256}`, 'track /etc/lab'];
    return {
      it,
      ask: (verb: string) => it.guard.call(verb, { headers, through }),
      run: (command: string) => execFileSync('nsenter', [...through.slice(1), 'sh', '-c', command]),
      [Symbol.dispose]: () => {
        it.crash();
        mounts[Symbol.dispose]();
        it[Symbol.dispose]();
      },
    };
  }

  test.each(kinds)('%s: after a crash it is rolled back at boot', async (_name, kind) => {
    using that = await host(kind.has);
    const { it, ask, run } = that;
    expect(ask('begin')).toMatchObject({ ok: true });
    const at = join(it.root, kind.file);
    expect(readFileSync(at, 'utf8')).toBe(kind.text);
    expect(statSync(at).mode & 0o777).toBe(kind.mode);
    writeFileSync(join(it.root, 'etc/lab/file'), 'new\n');
    it.crash();
    run(kind.command);
    expect(it.file('etc/lab/file')).toBe('old\n');
    expect(ask('rollback').head).toContain('by boot');
  });

  test.each(nothing)('%s: begin says that nothing will start it', async (_name, has) => {
    using that = await host(has);
    const begun = that.ask('begin');
    expect(begun).toMatchObject({ ok: true });
    expect(begun.head.join()).toContain('warning nothing here starts recovery at boot');
    const places = ['etc/local.d/savepoint.start', 'etc/cron.d/savepoint'];
    expect(places.filter((path) => existsSync(join(that.it.root, path)))).toEqual([]);
  });
});
