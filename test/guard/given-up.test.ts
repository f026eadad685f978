import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

test.each(guardsSince('1.2.1'))(
  '%s: a watchdog that waited for a rollback that failed leaves the rest to people',
  (_which, file) => {
    using it = new Conversation(file);
    const lab = join(it.root, 'etc/lab');
    const read = () => readFileSync(join(lab, 'file'), 'utf8');
    const finish = (who: string) =>
      it.guard.call('finish', { args: [it.root, it.guard.state, it.id, who] });
    expect(it.begin()).toMatchObject({ ok: true });
    writeFileSync(join(lab, 'file'), 'new\n');
    renameSync(join(it.root, 'etc'), join(it.root, 'away'));
    symlinkSync('away', join(it.root, 'etc'));
    expect(it.ask('rollback').head).toContain('outcome rollback-failed');
    rmSync(join(it.root, 'etc'));
    renameSync(join(it.root, 'away'), join(it.root, 'etc'));
    finish('watchdog');
    expect(read()).toBe('new\n');
    finish('recover');
    expect(read()).toBe('old\n');
  },
);
