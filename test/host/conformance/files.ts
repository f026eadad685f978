import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { allBytes, digest } from './bytes.ts';
import type { Subject } from './subject.ts';

/** Files there and back. */
export function files(subject: Subject): void {
  describe('files', () => {
    test('a file is sent and fetched with every byte', async () => {
      const bytes = Buffer.concat([allBytes(), randomBytes(3_000_000)]);
      const path = `${subject.folder}/-file with 'quotes' and\nnewline`;
      await subject.host.send(bytes, path);
      expect(digest(await subject.read(path))).toBe(digest(bytes));
    });

    test('a stream can be sent, and an empty file too', async () => {
      await subject.host.send(
        Readable.from([Buffer.from('one '), Buffer.from('two')]),
        `${subject.folder}/s`,
      );
      await subject.host.send(Buffer.alloc(0), `${subject.folder}/empty`);
      expect(String(await subject.read(`${subject.folder}/s`))).toBe('one two');
      expect(await subject.read(`${subject.folder}/empty`)).toHaveLength(0);
    });

    test('a sent file is private unless another mode is asked for', async () => {
      await subject.host.send(Buffer.from('x'), `${subject.folder}/private`);
      await subject.host.send(Buffer.from('x'), `${subject.folder}/public`, 0o755);
      const { stdout } = await subject.sh(
        `cd ${subject.folder} && ls -l private public | cut -c1-10`,
      );
      expect(stdout).toBe('-rw-------\n-rwxr-xr-x\n');
    });

    test('a file that is there already is not written to', async () => {
      const path = `${subject.folder}/there`;
      await subject.host.send(Buffer.from('first'), path);
      await expect(subject.host.send(Buffer.from('second'), path)).rejects.toMatchObject({
        name: 'host-write-failed',
      });
      expect(String(await subject.read(path))).toBe('first');
    });

    test('half a file is not left behind', async () => {
      const broken = Readable.from(
        (async function* () {
          yield 'half';
          throw new Error('gone');
        })(),
      );
      const path = `${subject.folder}/half`;
      await expect(subject.host.send(broken, path)).rejects.toMatchObject({
        name: 'host-write-failed',
      });
      await subject.until(`test ! -e ${path}`);
    });

    test('a directory that does not exist is an error', async () => {
      await expect(
        subject.host.send(Buffer.from('x'), `${subject.folder}/none/x`),
      ).rejects.toMatchObject({
        name: 'host-write-failed',
      });
    });

    test('a file that does not exist is host-file-missing', async () => {
      await expect(subject.host.fetch(`${subject.folder}/no-such-file`)).rejects.toMatchObject({
        name: 'host-file-missing',
      });
    });

    test('a directory cannot be fetched', async () => {
      await expect(subject.host.fetch(subject.folder)).rejects.toMatchObject({
        name: 'host-read-failed',
      });
    });

    test('a fetch need not be read to its end', async () => {
      await subject.sh(`head -c 50000000 /dev/zero >${subject.folder}/large`);
      for await (const chunk of await subject.host.fetch(`${subject.folder}/large`)) {
        expect(chunk[0]).toBe(0);
        break;
      }
      expect((await subject.sh('echo still here')).stdout).toBe('still here\n');
    });
  });
}
