import { cpus, release, totalmem } from 'node:os';
import { type Result, summary } from './compare.ts';
import type { Memory } from './rows/many.ts';

export interface Report {
  results: readonly Result[];
  memory?: Memory;
  /** Lines `name version` of what was compared. */
  versions: readonly string[];
  command: string;
  date: string;
  /** Processes that wanted a processor before the first run: 0 where nothing else was going on. */
  load: number;
}

/** The page that is published: every number with the peer it was measured beside. */
export function page({ results, memory, versions, command, date, load }: Report): string {
  const counts = [...new Set(results.map(({ pairs }) => pairs.length))].join(' or ');
  return `# How fast

\`${command}\`, ${date}. ${cpus().length} processors (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split('.').slice(0, 2).join('.')}; ${versions.join(', ')}.
Load average when it began: ${load.toFixed(1)}.

Everything talks to one OpenSSH server on loopback: directly, or through a relay that makes every round
trip 50 ms longer. Each line is ${counts} pairs of runs, ours and the peer's in turn, of whole processes from
start to exit. **Only ratios mean anything:** milliseconds are of this machine, on that day, with whatever
else ran on it. *Speed* is the peer's time divided by ours, taken pair by pair (median, then lowest and
highest): above 1, Savepoint is faster.

![Speeds](results.svg)

${tasks(results).map(table).join('\n')}
${memory ? memoryLines(memory) : ''}
What the peers are: [bench/peers](peers). What is not said: these are one sshd and one client on the same
processors, so what costs the host time costs the controller time as well.
`;
}

function tasks(results: readonly Result[]): Result[][] {
  const names = [...new Set(results.map(({ task }) => task))];
  return names.map((name) => results.filter(({ task }) => task === name));
}

function table(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { ours, peer, speed, lowest, highest, met } = summary(result);
    const goal = result.target ? `${result.target.words}: ${met ? 'met' : '**missed**'}` : '';
    const cells = [
      `${result.roundTrip} ms`,
      result.peer,
      `${Math.round(ours)}`,
      `${Math.round(peer)}`,
      `**${two(speed)}** (${two(lowest)} to ${two(highest)})`,
      goal,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `## ${capital(results[0]?.task ?? '')}

| round trip | peer | ${results[0]?.ours}, ms | peer, ms | speed | goal |
| --- | --- | ---: | ---: | --- | --- |
${rows.join('\n')}
`;
}

function memoryLines({ ours, peer, limit }: Memory): string {
  return `Most memory at one time, without the added delay: ${Math.round(ours)} MB for one process (goal: below ${limit} MB:
${ours < limit ? 'met' : '**missed**'}; resident set), ${Math.round(peer)} MB for Ansible and its children together (shared pages counted once).
`;
}

/** Two digits that matter. */
export function two(speed: number): string {
  return speed >= 10 ? String(Math.round(speed)) : speed.toPrecision(2);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
