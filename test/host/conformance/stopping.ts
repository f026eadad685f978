import { describe, expect, test } from 'vitest';
import { bytesOf } from './bytes.ts';
import type { Subject } from './subject.ts';

/** Ending a command before its time. */
export function stopping(subject: Subject): void {
  describe('stopping', () => {
    const stop = async (script: string, ready: string) => {
      const abort = new AbortController();
      const running = subject.host.run({ argv: ['sh', '-c', script], signal: abort.signal });
      const output = bytesOf(running.stdout);
      running.stderr.resume();
      await subject.until(ready);
      abort.abort();
      const exit = await running.exit;
      return { exit, output: String(await output) };
    };
    // What has ended but was not waited for by anybody counts as ended.
    const alive = async (file: string) =>
      (await subject.sh(`grep '^State:' "/proc/$(cat ${file})/status" | grep -qv Z`)).exit.code ===
      0;

    test('an aborted command ends with SIGTERM', async () => {
      const ready = `${subject.folder}/ready-1`;
      const { exit } = await stop(`: >${ready}; exec sleep 600`, `test -e ${ready}`);
      expect(exit).toEqual({ signal: 'SIGTERM' });
    });

    test('its children and grandchildren end too, those with a session of their own included', async () => {
      const child = `${subject.folder}/child`;
      const grandchild = `${subject.folder}/grandchild`;
      await stop(
        `sleep 100 & echo $! >${child}
       setsid sh -c 'echo $$ >${grandchild}; exec sleep 100' &
       wait`,
        `test -s ${child} && test -s ${grandchild}`,
      );
      expect([await alive(child), await alive(grandchild)]).toEqual([false, false]);
    });

    test('one that ignores SIGTERM is killed after the grace', async () => {
      const pid = `${subject.folder}/stubborn`;
      const { exit } = await stop(
        `trap '' TERM; echo $$ >${pid}; while :; do sleep 0.1; done`,
        `test -s ${pid}`,
      );
      expect(exit).toEqual({ signal: 'SIGKILL' });
      expect(await alive(pid)).toBe(false);
    });

    test('one that tidies up at SIGTERM may do so, and its exit is what it says', async () => {
      const ready = `${subject.folder}/ready-2`;
      const { exit, output } = await stop(
        `trap 'sleep 0.5; echo tidied; exit 7' TERM; : >${ready}; while :; do sleep 0.1; done`,
        `test -e ${ready}`,
      );
      expect({ exit, output }).toEqual({ exit: { code: 7 }, output: 'tidied\n' });
    });

    test('one whose signal is aborted already is not started', async () => {
      const file = `${subject.folder}/not-started`;
      const running = subject.host.run({
        argv: ['sh', '-c', `: >${file}`],
        signal: AbortSignal.abort(),
      });
      expect(await running.exit).toEqual({ signal: 'SIGTERM' });
      expect((await subject.sh(`test -e ${file}`)).exit.code).toBe(1);
    });
  });
  describe('closing', () => {
    test('a host can be closed twice, and ends what still runs', async () => {
      const other = await subject.open();
      const pid = `${subject.folder}/closed`;
      const running = other.run({
        argv: ['sh', '-c', `echo $$ >${pid}; exec sleep 100`],
        signal: new AbortController().signal,
      });
      await subject.until(`test -s ${pid}`);
      await other.close();
      await other.close();
      expect(await running.exit).toEqual({ signal: 'SIGTERM' });
      expect((await subject.sh(`kill -0 "$(cat ${pid})"`)).exit.code).not.toBe(0);
      expect(() => other.run({ argv: ['true'] })).toThrow('closed');
    });
  });
}
