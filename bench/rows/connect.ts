import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison, Contender } from '../compare.ts';
import { type BenchHost, sameAlgorithms } from '../host.ts';
import { ssh } from '../peers.ts';
import { time } from '../program.ts';

const task = 'connect, authenticate, run `true`';

/** A whole process on either side: start, connection, command, end. */
export function connect(bench: BenchHost, client: (name: string) => string): Comparison[] {
  return bench.links.flatMap((link): Comparison[] => {
    const { roundTrip } = link;
    const config = join(bench.folder, `host-${roundTrip}.json`);
    writeFileSync(config, JSON.stringify(link.config));
    const run = (argv: [string, ...string[]]) => () => time({ argv, env: bench.env }, bench.folder);
    const ours: Contender = {
      name: 'src/host',
      run: run([process.execPath, client('true'), config]),
    };
    return [
      {
        ...{ task, roundTrip, ours },
        peer: { name: '`ssh`', run: run([...ssh(link), 'true']) },
        target: { atLeast: 1, words: 'no slower' },
      },
      {
        ...{ task, roundTrip, ours },
        peer: {
          name: '`ssh`, our algorithms',
          run: run([...ssh(link, sameAlgorithms), 'true']),
        },
      },
    ];
  });
}
