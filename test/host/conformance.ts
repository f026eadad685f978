import { afterAll, beforeAll, describe } from 'vitest';
import type { Host } from '../../src/host/host.ts';
import { exits } from './conformance/exits.ts';
import { files } from './conformance/files.ts';
import { stopping } from './conformance/stopping.ts';
import { streams } from './conformance/streams.ts';
import { Subject } from './conformance/subject.ts';
import { words } from './conformance/words.ts';

/**
 * What every backend must do. It asks nothing of the host but a POSIX shell and the usual tools,
 * and looks at it only through the interface.
 */
export function describeHost(name: string, open: () => Promise<Host>): void {
  describe(`host ${name}`, () => {
    const subject = new Subject(open);
    beforeAll(() => subject.begin());
    afterAll(() => subject.end());
    exits(subject);
    streams(subject);
    words(subject);
    stopping(subject);
    files(subject);
  });
}
