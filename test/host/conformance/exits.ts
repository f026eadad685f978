import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { Subject } from './subject.ts';

/** How a command ends. */
export function exits(subject: Subject): void {
  describe('exits', () => {
    test('a command ends with its status, each of 0 to 255', async () => {
      const statuses = Array.from({ length: 256 }, (_, status) => status);
      const found: (number | undefined)[] = [];
      for (let start = 0; start < 256; start += 16) {
        const batch = statuses.slice(start, start + 16);
        const exits = await Promise.all(batch.map((status) => subject.sh(`exit ${status}`)));
        found.push(...exits.map(({ exit }) => exit.code));
      }
      expect(found).toEqual(statuses);
    });

    test.each(['SIGTERM', 'SIGKILL', 'SIGHUP', 'SIGINT', 'SIGSEGV', 'SIGABRT'] as const)(
      'a command that is killed ends with its signal, %s',
      async (signal) => {
        const { exit } = await subject.sh(`ulimit -c 0; kill -${signal.slice(3)} $$; sleep 5`);
        const number = constants.signals[signal];
        expect(exit).toEqual(subject.signals === 'told' ? { signal } : { code: 128 + number });
      },
    );

    test('a command that does not exist ends with 127 and says so', async () => {
      const { exit, stderr } = await subject.run(['savepoint-no-such-command', 'x']);
      expect(exit.code).toBe(127);
      expect(stderr).toContain('savepoint-no-such-command');
    });

    test('a command that cannot be started ends with 126', async () => {
      const { exit, stderr } = await subject.run([subject.folder]);
      expect(exit.code).toBe(126);
      expect(stderr).toContain(subject.folder);
    });

    test('many commands run at the same time, each with its own streams', async () => {
      const numbers = Array.from({ length: 20 }, (_, number) => number);
      const results = await Promise.all(
        numbers.map((number) =>
          subject.sh(
            `sleep 0.2; read -r line; echo "$line"; echo error ${number} >&2; exit ${number}`,
            {
              stdin: `input ${number}\n`,
            },
          ),
        ),
      );
      expect(results).toEqual(
        numbers.map((number) => ({
          exit: { code: number },
          stdout: `input ${number}\n`,
          stderr: `error ${number}\n`,
        })),
      );
    });
  });
}
