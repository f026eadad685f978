import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison, Contender } from '../compare.ts';
import { type BenchHost, type Link, sameAlgorithms } from '../host.ts';
import { pipeline, ssh } from '../peers.ts';
import { type Program, time } from '../program.ts';
import { makeTree } from '../tree.ts';

const cipher = sameAlgorithms.slice(0, 1);
/** Folders that the small files are in. */
const folders = 100;

export interface TransferSizes {
  /** Of the large file. */
  mebibytes: number;
  /** Small files of 4 KiB; at least as many as there are folders. */
  files: number;
}

/** Files up and down, whole processes, with the same cipher on either side. */
export function transfer(
  bench: BenchHost,
  client: (name: string) => string,
  { mebibytes, files }: TransferSizes,
): Comparison[] {
  const size = mebibytes * 1024 * 1024;
  const folder = mkdtempSync(join(bench.folder, 'transfer-'));
  const large = join(folder, 'large');
  writeFileSync(large, randomFillSync(Buffer.alloc(size)));
  const small = join(folder, 'small');
  makeTree(
    small,
    Array.from({ length: files }, (_, n) => ({ path: `${n % folders}/${n}`, bytes: 4096 })),
    'small',
  );
  const target = join(folder, 'target');
  const fileTarget = { atLeast: 0.75, words: 'at least 0.75 of its speed' };
  return bench.links.flatMap((link): Comparison[] => {
    const config = join(bench.folder, `host-${link.roundTrip}.json`);
    writeFileSync(config, JSON.stringify(link.config));
    const ours = (name: string, from: string): Program['argv'] => [
      process.execPath,
      client(name),
      config,
      from,
      target,
    ];
    const { roundTrip } = link;
    const oneFile = (name: string, program: Omit<Program, 'env'>): Contender => ({
      name,
      run: () => time({ ...program, env: bench.env }, bench.folder),
      settle: async () => {
        if (statSync(target).size !== size)
          throw new Error(`${name} did not bring the whole file.`);
        rmSync(target);
      },
    });
    const remote = ssh(link, cipher);
    return [
      {
        task: `${mebibytes} MiB up`,
        roundTrip,
        ours: oneFile('attachment', { argv: ours('send', large) }),
        peer: oneFile('`ssh cat`', { argv: [...remote, `cat >${target}`], stdin: large }),
        target: fileTarget,
      },
      {
        task: `${mebibytes} MiB down`,
        roundTrip,
        ours: oneFile('artifact', { argv: ours('fetch', large) }),
        peer: oneFile('`ssh cat`', { argv: [...remote, `cat ${large}`], stdout: target }),
        target: fileTarget,
      },
      ...directory(bench, link, { small, files, target, ours: ours('send-directory', small) }),
    ];
  });
}

interface DirectoryWorld {
  small: string;
  files: number;
  target: string;
  ours: Program['argv'];
}

function directory(bench: BenchHost, link: Link, world: DirectoryWorld): Comparison[] {
  const { small, files, target } = world;
  const contender = (name: string, argv: Program['argv']): Contender => ({
    name,
    run: () => {
      mkdirSync(target);
      return time({ argv, env: bench.env }, bench.folder);
    },
    settle: async () => {
      const brought = readdirSync(target, { recursive: true }).length;
      if (brought !== files + folders) throw new Error(`${name} brought ${brought} entries.`);
      rmSync(target, { recursive: true });
    },
  });
  const common = { task: `${files} files of 4 KiB up`, roundTrip: link.roundTrip };
  const ours = contender('attachments', world.ours);
  const [program, ...options] = ssh(link, cipher);
  const words = options.slice(0, -2);
  return [
    {
      ...{ ...common, ours },
      peer: contender(
        '`tar | ssh tar`',
        pipeline('tar -C "$1" -cf - . | "${@:3}" "tar -C $2 -xf -"', [
          ...[small, target, program, ...options],
        ]),
      ),
      target: { atLeast: 0.8, words: 'at least 0.8 of its speed' },
    },
    {
      ...{ ...common, ours },
      peer: contender('`rsync -a`', [
        ...(['rsync', '-a', '-e', [program, ...words].join(' ')] as const),
        ...[`${small}/`, `${link.destination}:${target}/`],
      ]),
    },
  ];
}
