import { spawn } from 'node:child_process';
import { judgeEnd, judgeNow, note } from './judge.ts';
import type { Life, Step } from './life.ts';
import { emptyTally, random, type Tally } from './tally.ts';

/** Who starts together, after what. */
const races: Record<string, { before: Step[]; racers: Step[] }> = {
  'who decides': {
    before: ['begin', 'apply', 'job edits', 'expire'],
    racers: ['commit', 'rollback', 'watchdog', 'boot'],
  },
  'apply against its end': {
    before: ['begin', 'expire'],
    racers: ['apply', 'rollback', 'watchdog', 'boot'],
  },
  'who begins': { before: [], racers: ['begin', 'next begin', 'begin', 'next begin'] },
  'begin over one that expired': {
    before: ['begin', 'apply', 'job edits', 'expire'],
    racers: ['next begin', 'watchdog', 'commit', 'recover'],
  },
};
export interface RacePlan {
  times: number;
  seed: number;
  stopAtFirst?: boolean;
}

export const raceNames = Object.keys(races);

/** Starts the racers of one race together, again and again: one winner, and no mixture. */
export async function raceSweep(life: Life, name: string, plan: RacePlan): Promise<Tally> {
  const tally = emptyTally();
  const roll = random(plan.seed);
  const race = races[name];
  if (!race) throw new Error(`no race '${name}'; there are ${raceNames}`);
  for (let n = 0; n < plan.times; n++) {
    if (plan.stopAtFirst && tally.violations.length > 0) break;
    life.startAfter(race.before);
    const results = await Promise.all(race.racers.map((step) => start(life, step, roll())));
    life.killAll();
    const said = results.map(({ step, head }) => `${step}: ${head.slice(0, 4).join(', ')}`);
    const where = `${name}, race ${n + 1} of ${plan.times}`;
    tally.points++;
    tally.runs++;
    note(
      tally,
      where,
      [...judgeNow(life), ...contradictions(life, name, results)],
      said.join('\n'),
    );
    const winner = life.decision().trim() || 'none';
    tally.notes[winner] = (tally.notes[winner] ?? 0) + 1;
    const acknowledged = results.some((r) => r.head.includes('outcome committed'));
    life.perform('reboot');
    life.perform('boot');
    const ends = life.decision().startsWith('commit ') ? 'new' : 'old';
    note(tally, `${where}, afterwards`, judgeEnd(life, ends, acknowledged), said.join('\n'));
  }
  return tally;
}

interface Result {
  step: Step;
  status: number;
  head: string[];
}

/** What cannot both be true of the answers of one race. */
function contradictions(life: Life, name: string, results: Result[]): string[] {
  const found: string[] = [];
  const told = new Set(
    results.flatMap((r) => r.head.filter((line) => line.startsWith('outcome ')).map(String)),
  );
  if (told.has('outcome committed') && told.size > 1)
    found.push(`told both: ${[...told].join(', ')}`);
  if (told.has('outcome committed') && !life.decision().startsWith('commit ')) {
    found.push(`told committed, but the decision is '${life.decision().trim()}'`);
  }
  if (name === 'who begins') {
    const ok = results.filter((r) => r.head[0] === 'savepoint 1 ok').map((r) => r.step);
    if (new Set(ok).size !== 1) found.push(`${ok.length} begins succeeded: ${ok.join(', ')}`);
  }
  for (const r of results) {
    if (r.status !== 0 && !r.head[0]?.startsWith('savepoint 1 error ')) {
      found.push(`${r.step} ended with ${r.status} and no error of the catalogue`);
    }
  }
  return found;
}

/** Starts a step after a wait by lot of up to 30 ms, without the tracer, and waits for its end. */
async function start(life: Life, step: Step, share: number): Promise<Result> {
  const { argv, input } = life.command(step);
  const [program = '', ...words] = [
    'sh',
    '-c',
    'sleep "$0"; exec "$@"',
    (share * 0.03).toFixed(4),
    ...argv,
  ];
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
    cwd: '/',
  });
  let text = '';
  child.stdout.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  // A guard that refuses before it has read its payload closes the pipe; its answer tells why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const status = await new Promise<number>((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve(code ?? 128));
  });
  return { step, status, head: text.split('\n\n')[0]?.split('\n') ?? [] };
}
