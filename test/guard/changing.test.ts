import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Mounts } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

/** Someone who writes to a tracked file after each archive of it, or after those that `when` lets through. */
const writer = (when: string) => `cp "$(command -v tar)" "$1/tar"
  cat >"$1/writer" <<-END
	#!/bin/sh
	"$1/tar" "\\$@" || exit
	case \\$1 in -cf) ${when} echo more >>"$1/etc/lab/file" ;; esac
	END
  chmod 755 "$1/writer" && mount --bind "$1/writer" "$(command -v tar)"`;
const always = writer('');
const once = writer('[ ! -e "$1/once" ] || exit 0; true >"$1/once";');

describe.each(guards)('%s', (_which, file) => {
  /** Begins where that someone is at work. */
  async function begin(it: Conversation, script: string) {
    using mounts = await Mounts.made(script, it.root);
    const headers = [`id ${it.id}`, 'token secret', 'fence 3', ...it.site, 'track /etc/lab'];
    return it.guard.call('begin', { headers, through: mounts.through });
  }

  test('begin refuses a file that changes whenever it is copied', async () => {
    using it = new Conversation(file);
    const answer = await begin(it, always);
    expect(answer).toMatchObject({ ok: false, error: 'path-changing', status: 1 });
    expect(answer.head[0]).toMatch(/^message someone is changing \/etc\/lab\/file as/);
    expect(it.file('etc/lab/file')).toMatch(/^old\n(more\n)+$/);
    expect(readdirSync(join(it.guard.state, 'tx'))).toEqual([]);
  });

  test('begin copies a file again that changed once as it was copied', async () => {
    using it = new Conversation(file);
    expect(await begin(it, once)).toMatchObject({ ok: true });
    writeFileSync(join(it.root, 'etc/lab/file'), 'the job\n');
    it.ask('rollback');
    expect(it.file('etc/lab/file')).toBe('old\nmore\n');
  });
});
