import { describe, expect, test } from 'vitest';
import { capture } from '../../../src/host/capture.ts';
import type { Subject } from './subject.ts';

/** A link that breaks. */
export function link(subject: Subject, drop: () => unknown): void {
  describe('a link that breaks', () => {
    test('ends what runs with host-lost, never with an exit status', async () => {
      const ready = `${subject.folder}/before-drop`;
      const running = capture(
        subject.host.run({ argv: ['sh', '-c', `: >${ready}; exec sleep 600`] }),
      );
      const lost = expect(running).rejects.toMatchObject({ name: 'host-lost' });
      await subject.until(`test -e ${ready}`);
      await drop();
      await lost;
    });

    test('is made anew for the next command', async () => {
      await drop();
      // Until the end of the old link has come through, a command may still be lost with it.
      await expect
        .poll(() => subject.sh('echo again').catch(({ name }) => name), { timeout: 10_000 })
        .toMatchObject({ exit: { code: 0 }, stdout: 'again\n' });
    });

    test('makes a file that is being fetched an error, not a shorter file', async () => {
      await subject.sh(`head -c 60000000 /dev/zero >${subject.folder}/long`);
      const contents = await subject.host.fetch(`${subject.folder}/long`);
      const read = async () => {
        for await (const _ of contents) await drop();
      };
      await expect(read()).rejects.toMatchObject({ name: 'host-lost' });
    });
  });
}
