import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Mounts, onlyBusybox } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

/** Inodes of 128 bytes have no room for fractions of a second; $1 is the host's root. */
const smallInodes = `truncate -s 8M "$1/image" && mkfs.ext4 -q -F -I 128 "$1/image" 2>/dev/null &&
  mkdir "$1/fresh" && mount -o loop "$1/image" "$1/fresh" && cp -a "$1/etc/." "$1/fresh" &&
  mount --move "$1/fresh" "$1/etc"`;

// Nothing but the time of its change tells that a file of the same size was written to.
describe.each(guardsSince('1.2.2'))(
  '%s, where change times are of whole seconds',
  (_which, file) => {
    test.each([
      ['the file system has no others', smallInodes],
      ['the tools tell no others', onlyBusybox],
    ])('because %s, a change in the second of the one before is undone', async (_what, script) => {
      using it = new Conversation(file);
      using mounts = await Mounts.made(script, it.root);
      const ask = (verb: string, ...lines: string[]) =>
        it.guard.call(verb, {
          headers: [`id ${it.id}`, 'token secret', 'fence 3', ...it.site, ...lines],
          through: [...mounts.through, 'sh', '-c', 'shift; exec sh "$@"', 'sh'],
        });
      const write = (text: string) =>
        mounts.run(`printf '%s\\n' ${text} 1<>"$1/etc/lab/file"`, it.root);
      const read = () => readFileSync(mounts.at(`${it.root}/etc/lab/file`), 'utf8');

      await sleep(1000 - (Date.now() % 1000));
      write('one');
      expect(ask('begin', 'track /etc/lab', 'degraded yes')).toMatchObject({ ok: true });
      write('two');
      expect(read()).toBe('two\n');
      // It is no phase's, so it is someone else's.
      expect(ask('rollback').head).toContain('outcome conflict');
      expect(read()).toBe('one\n');
    });
  },
);
