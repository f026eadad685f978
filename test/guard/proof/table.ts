import { changedFiles, sizes } from './scale.ts';
import { addTally, emptyTally, type Tally } from './tally.ts';
import type { Task } from './task.ts';

/** What came of each kind of task; parts of one sweep are added up. */
export class Results {
  readonly rows = new Map<string, { cells: string[]; tally: Tally; seconds: number }>();

  add(task: Task, part: Tally, seconds: number): void {
    const cells = [sweepOf(task), task.scenario, task.shell, task.fs];
    const key = cells.join('\0');
    const row = this.rows.get(key) ?? { cells, tally: emptyTally(), seconds: 0 };
    addTally(row.tally, part);
    row.seconds += seconds;
    this.rows.set(key, row);
  }

  get total(): Tally {
    const sum = emptyTally();
    for (const { tally } of this.rows.values()) addTally(sum, tally);
    return sum;
  }

  /** Of all workers, one after the other. */
  get seconds(): number {
    return [...this.rows.values()].reduce((sum, row) => sum + row.seconds, 0);
  }

  /** Points tried per sweep, step, shell and file system. */
  points(): string {
    const head = [
      'sweep',
      'step',
      'shell',
      'file system',
      'calls in it',
      'points tried',
      'lives',
      'violations',
    ];
    const lines = [...this.rows.values()]
      .filter(({ cells }) => cells[0] !== 'scale')
      .sort((a, b) => (a.cells.join() < b.cells.join() ? -1 : 1))
      .map(({ cells, tally }) =>
        cells.concat(
          tally.all ? String(tally.all) : '',
          String(tally.points),
          String(tally.runs),
          String(tally.violations.length),
        ),
      );
    const { points, runs, violations } = this.total;
    lines.push(['all', '', '', '', '', points, runs, violations.length].map(String));
    return markdown(head, lines);
  }

  /** Who won how often, and what a faulted guard said: the notes of races and faults. */
  notes(sweep: string): string {
    const lines = [...this.rows.values()]
      .filter(({ cells }) => cells[0]?.startsWith(sweep))
      .map(({ cells, tally }) => [
        ...cells.slice(0, 3),
        Object.entries(tally.notes)
          .sort()
          .map(([name, times]) => `${name}: ${times}`)
          .join(', '),
      ]);
    return markdown(['sweep', 'step', 'shell', 'what was said or decided'], lines);
  }

  /**
   * What grows too fast: time worse than linearly (with a half for noise), processes with the files
   * (an argument list holds some thousand names), or a rollback of a few files that costs like a copy of all.
   */
  scaleProblems(): string[] {
    const found: string[] = [];
    const notes = sizes.map((size) => this.#scaleNotes(size));
    const smallest = notes[0];
    for (const [index, size] of sizes.entries()) {
      const now = notes[index];
      const before = notes[index - 1];
      if (!now || !before || !smallest) continue;
      for (const verb of ['begin', 'apply', 'rollback']) {
        const grown = (now[verb] ?? 0) / (before[verb] ?? 1);
        const linear = size / (sizes[index - 1] ?? size);
        if (grown > linear * 1.5)
          found.push(
            `${verb} of ${size} files takes ${grown.toFixed(1)} times that of a ${linear}th`,
          );
        const more = (now[`${verb} processes`] ?? 0) - (smallest[`${verb} processes`] ?? 0);
        if (more > 40 + size / 500)
          found.push(`${verb} of ${size} files takes ${more} more processes than of 10`);
      }
    }
    const last = notes.at(-1);
    if (last && (last.rollback ?? 0) > (last.copy ?? 0)) {
      found.push(
        `rolling back ${changedFiles} of ${sizes.at(-1)} files costs more than a copy of all`,
      );
    }
    return found;
  }

  #scaleNotes(size: number): Record<string, number> | undefined {
    return this.rows.get(['scale', String(size), 'dash', 'ext4'].join('\0'))?.tally.notes;
  }

  /** Times as ratios to `cp -a` and sync of the same tree in the same run. */
  scale(): string {
    const head = ['tracked files', 'cp -a, ms', 'begin', 'apply', 'rollback', 'processes of each'];
    const lines = sizes.flatMap((size) => {
      const notes = this.#scaleNotes(size);
      if (!notes) return [];
      const copy = notes.copy ?? Number.NaN;
      const ratio = (verb: string) => ((notes[verb] ?? Number.NaN) / copy).toFixed(2);
      const verbs = ['begin', 'apply', 'rollback'];
      const processes = verbs.map((verb) => notes[`${verb} processes`]).join(', ');
      return [[String(size), copy.toFixed(0), ...verbs.map(ratio), processes]];
    });
    return markdown(head, lines);
  }
}

/** The sweep, and for a fault which one. */
export function sweepOf(task: Task): string {
  if (task.sweep !== 'fault') return task.sweep;
  return `fault: ${task.plan.lasting ? 'lasting ' : ''}${task.plan.fault}`;
}

export function markdown(head: string[], lines: string[][]): string {
  const width = head.map((cell, n) =>
    Math.max(cell.length, ...lines.map((l) => l[n]?.length ?? 0)),
  );
  const row = (cells: string[]) =>
    `| ${cells.map((c, n) => c.padEnd(width[n] ?? 0)).join(' | ')} |`;
  return [row(head), row(width.map((n) => '-'.repeat(n))), ...lines.map(row)].join('\n');
}
