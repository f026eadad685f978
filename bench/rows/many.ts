import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison, Contender } from '../compare.ts';
import type { BenchHost } from '../host.ts';
import { MemoryMeter } from '../memory.ts';
import { ansible } from '../peers.ts';
import { output, time } from '../program.ts';

const connections = 100;
const atOnce = 50;

/** Most memory at one time in MB: of one process of ours, of Ansible and all its children. */
export interface Memory {
  ours: number;
  peer: number;
  /** Ours must stay below. */
  limit: number;
}

export interface Many {
  comparisons: Comparison[];
  memory(): Promise<Memory>;
}

/** Many hosts at once, though they are all the same sshd. */
export function many(bench: BenchHost, client: (name: string) => string): Many {
  const clientOf = (config: string) =>
    [process.execPath, client('many'), config, String(connections), String(atOnce)] as const;
  const worlds = bench.links.map((link) => {
    const config = join(bench.folder, `host-${link.roundTrip}.json`);
    writeFileSync(config, JSON.stringify(link.config));
    const { run, settle, word } = ansible(bench, link, { hosts: connections });
    const ours: Contender = {
      name: 'one process',
      run: () => time({ argv: [...clientOf(config)], env: bench.env }, bench.folder),
    };
    const peer: Contender = {
      name: `Ansible, ${atOnce} forks`,
      // `raw` is the least that Ansible can do on a host: no module, no Python there.
      run: () => run(['ansible', 'lab', '-f', String(atOnce), '-m', 'raw', '-a', 'true']),
      settle,
    };
    const task = `${connections} connections, ${atOnce} at a time, each running \`true\``;
    return { config, word, comparison: { task, roundTrip: link.roundTrip, ours, peer } };
  });
  return {
    comparisons: worlds.map(({ comparison }) => comparison),
    memory: async () => {
      const [near] = worlds;
      if (!near) throw new Error('There is no link to measure memory on.');
      const printed = await output(
        { argv: [...clientOf(near.config)], env: bench.env },
        bench.folder,
      );
      const meter = new MemoryMeter(near.word);
      await near.comparison.peer.run();
      const peer = meter.stop();
      await near.comparison.peer.settle?.();
      return { ours: Number(printed), peer, limit: 300 };
    },
  };
}
