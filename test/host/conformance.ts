import { afterAll, beforeAll, describe } from 'vitest';
import type { Host } from '../../src/host/host.ts';
import { exits } from './conformance/exits.ts';
import { files } from './conformance/files.ts';
import { link } from './conformance/link.ts';
import { stopping } from './conformance/stopping.ts';
import { streams } from './conformance/streams.ts';
import { type Signals, Subject } from './conformance/subject.ts';
import { words } from './conformance/words.ts';

/**
 * What every host must do, whatever it is behind. It asks nothing of the host but a POSIX shell
 * and the usual tools, and looks at it only through the interface.
 * @param drop breaks every connection to the host at once; a host without a link has none
 * @param signals whether the host tells a signal from a status of 128 and its number
 */
export function describeHost(
  name: string,
  open: () => Promise<Host>,
  { drop, signals = 'told' }: { drop?: (() => unknown) | undefined; signals?: Signals } = {},
): void {
  describe(`host ${name}`, () => {
    const subject = new Subject(open, signals);
    beforeAll(() => subject.begin());
    afterAll(() => subject.end());
    exits(subject);
    streams(subject);
    words(subject);
    stopping(subject);
    files(subject);
    if (drop) link(subject, drop);
  });
}
