import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Comparison, Contender } from '../compare.ts';
import { type BenchHost, type Link, sameAlgorithms } from '../host.ts';
import { type AnsibleOptions, ansible, peersFolder } from '../peers.ts';
import { time } from '../program.ts';
import { fingerprint, makeTree } from '../tree.ts';

const task = 'whole job: open, overlay of 5 files, one phase, roll back';
const tracked = '/etc/apt';

/** A configuration of the usual size: 32 files, 64 KB. */
const before = [
  { path: 'sources.list', bytes: 400 },
  ...numbered(9, 'sources.list.d/mirror-', '.list', 200),
  ...numbered(10, 'apt.conf.d/', 'local', 100),
  ...numbered(2, 'preferences.d/pin-', '', 150),
  ...numbered(10, 'trusted.gpg.d/archive-', '.asc', 6000),
];

/** The change: three files replaced, two new ones. */
const change = [
  { path: 'sources.list', bytes: 380 },
  ...numbered(2, 'sources.list.d/mirror-', '.list', 210),
  { path: 'sources.list.d/staging.list', bytes: 220 },
  { path: 'apt.conf.d/99proxy', bytes: 80 },
];

/** How many ended transactions the guard keeps: a host in use has that many. */
const kept = 20;

/** The job that Savepoint is made for, beside the two ways in which people write it now. */
export async function wholeJob(bench: BenchHost, cli: string): Promise<Comparison[]> {
  const root = mkdtempSync(join(bench.folder, 'root-'));
  const files = mkdtempSync(join(bench.folder, 'files-'));
  makeTree(join(root, tracked), before, 'before');
  makeTree(join(root, 'var/tmp'), [], '');
  makeTree(join(files, tracked), change, 'change');
  const job: JobWorld = {
    bench,
    root,
    files,
    test: `test -s ${root}${tracked}/apt.conf.d/99proxy`,
  };
  const [near] = bench.links;
  if (near) for (let n = 0; n < kept; n++) await savepoint(job, near, cli).run();

  const untouched = fingerprint(join(root, tracked));
  const checked = (contender: Contender): Contender => ({
    ...contender,
    settle: async () => {
      await contender.settle?.();
      if (fingerprint(join(root, tracked)) === untouched) return;
      throw new Error(`${contender.name} did not put back what was there before.`);
    },
  });
  return bench.links.flatMap((link): Comparison[] => {
    const { roundTrip } = link;
    const ours = checked(savepoint(job, link, cli));
    const nearly = { atLeast: 1 / 1.3, words: 'at most 1.3 times its time' };
    return [
      {
        ...{ task, roundTrip, ours },
        peer: checked(script(job, link, 'transaction.sh', 'bash script, an ssh for each step')),
        target: roundTrip === 0 ? nearly : { atLeast: 1, words: 'faster' },
      },
      {
        ...{ task, roundTrip, ours },
        peer: checked(
          script(job, link, 'transaction.sh', 'bash script, our algorithms', sameAlgorithms),
        ),
      },
      {
        ...{ task, roundTrip, ours },
        peer: checked(
          script(
            job,
            link,
            'transaction-multiplexed.sh',
            'bash script, multiplexed (ControlMaster)',
          ),
        ),
      },
      {
        ...{ task, roundTrip, ours },
        peer: checked(playbook(job, link, 'Ansible playbook')),
        target: { atLeast: 8, words: 'at least 8 times faster' },
      },
      {
        ...{ task, roundTrip, ours },
        peer: checked(playbook(job, link, 'Ansible playbook, pipelined', { config: 'tuned.cfg' })),
      },
    ];
  });
}

interface JobWorld {
  bench: BenchHost;
  root: string;
  /** The overlay, as a local directory. */
  files: string;
  /** The phase: shell text that succeeds only where the change is in place. */
  test: string;
}

function savepoint({ bench, root, files, test }: JobWorld, link: Link, cli: string): Contender {
  const file = join(bench.folder, `job-${link.roundTrip}.yml`);
  const { name, port, user, key = '', knownHosts = '' } = link.config;
  const host = { name, port, user, key, 'known-hosts': knownHosts, agent: false, sudo: false };
  const job = { host, root, track: [tracked], files, phases: { test } };
  writeFileSync(file, stringify({ ...job, 'on-success': 'rollback' }));
  const result = join(bench.folder, 'results');
  const argv = [process.execPath, cli, 'run', file, '--output', result] as const;
  return {
    name: 'savepoint run',
    run: () => time({ argv: [...argv], env: bench.env }, bench.folder),
    settle: async () => {
      const { outcome } = JSON.parse(readFileSync(join(result, 'result.json'), 'utf8'));
      if (outcome !== 'rolled-back') throw new Error(`Savepoint ended with ${outcome}.`);
    },
  };
}

function script(
  { bench, root, files, test }: JobWorld,
  link: Link,
  file: string,
  name: string,
  more: readonly string[] = [],
): Contender {
  const SSH_OPTIONS = [...link.sshOptions, ...more].join('\n');
  const env = { ...bench.env, HOST: link.destination, SSH_OPTIONS };
  const argv = ['bash', join(peersFolder, file), files, root, tracked, test] as const;
  return { name, run: () => time({ argv: [...argv], env }, bench.folder) };
}

function playbook(
  { bench, root, files, test }: JobWorld,
  link: Link,
  name: string,
  options: AnsibleOptions = {},
): Contender {
  const { run, settle } = ansible(bench, link, options);
  const variables = JSON.stringify({ root, tracked, files, test });
  return {
    name,
    run: () => run(['ansible-playbook', join(peersFolder, 'playbook.yml'), '-e', variables]),
    settle,
  };
}

function numbered(count: number, prefix: string, suffix: string, bytes: number) {
  return Array.from({ length: count }, (_, n) => ({ path: `${prefix}${n + 10}${suffix}`, bytes }));
}
