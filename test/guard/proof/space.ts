import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { judgeEnd, judgeNow, note, readLog } from './judge.ts';
import type { Life } from './life.ts';
import type { Scenario } from './scenarios.ts';
import { emptyTally, random, type Tally } from './tally.ts';

/**
 * The full disk, really full: before a step the file system is filled until so many KiB, or so
 * many inodes, are left. A begin or apply may refuse; a rollback has to succeed at any level, for
 * the room it needs was reserved while there was some.
 */
export function fullDiskSweep(
  life: Life,
  scenario: Scenario,
  plan: { seed: number; sample: number },
): Tally {
  const tally = emptyTally();
  const roll = random(plan.seed);
  for (let n = 0; n < plan.sample; n++) {
    // Small amounts matter most: the square makes them frequent. The first is nothing at all.
    const share = n === 0 ? 0 : roll() ** 2;
    life.startAfter(scenario.before);
    const kept = Math.floor(share * 1500);
    const full = join(life.ground.root, 'var/full');
    mkdirSync(full);
    if (n % 2 === 0) fillBytes(full, life, kept * 1024);
    else fillInodes(full, Math.floor(share * 60));
    const left = n % 2 === 0 ? `${kept} KiB` : `${Math.floor(share * 60)} inodes`;
    const where = `${scenario.name} with ${left} left`;
    const done = life.perform(scenario.interrupted);
    const trace = readLog(life);
    tally.points++;
    tally.runs++;
    const said = done.answer.ok
      ? 'ok'
      : `error ${done.answer.error ?? `without a name, status ${done.answer.status}`}`;
    tally.notes[said] = (tally.notes[said] ?? 0) + 1;
    const stillFull = join(life.ground.root, 'var/full');
    const must =
      scenario.ends === 'old' &&
      scenario.interrupted !== 'begin' &&
      scenario.interrupted !== 'apply';
    if (must) {
      rmSync(stillFull, { recursive: true });
      note(tally, `${where} (${said})`, judgeEnd(life, 'old', false), trace);
      continue;
    }
    rmSync(stillFull, { recursive: true });
    note(tally, `${where} (${said})`, judgeNow(life), trace);
    life.perform('reboot');
    life.perform('boot');
    const committed = done.answer.head.includes('outcome committed');
    note(tally, `${where} (${said}), recovered`, judgeEnd(life, scenario.ends, committed), trace);
  }
  return tally;
}

function fillBytes(dir: string, life: Life, keep: number): void {
  const fd = openSync(join(dir, 'filler'), 'w');
  let chunk = Buffer.alloc(1 << 20);
  while (chunk.length >= 1024) {
    try {
      while (life.ground.freeBytes() > keep + chunk.length) writeSync(fd, chunk);
      chunk = chunk.subarray(0, chunk.length >> 1);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      chunk = chunk.subarray(0, chunk.length >> 1);
    }
  }
  closeSync(fd);
}

function fillInodes(dir: string, keep: number): void {
  let n = 0;
  for (;;) {
    try {
      closeSync(openSync(join(dir, String(n)), 'w'));
      n++;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      break;
    }
  }
  for (let i = 0; i < keep; i++) if (existsSync(join(dir, String(i)))) rmSync(join(dir, String(i)));
}
