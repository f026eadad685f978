import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { type LabTimes, type Loss, lossRows } from '../../scripts/lab-page.ts';
import { guardInUse } from '../../src/guard/releases.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../.cache/lab-times');

/**
 * Collects the losses that a test file measures. At its end they are printed, and kept in
 * test/.cache/lab-times/NAME.json for the documentation (npm run lab). No test depends on them.
 */
export function lossTable(name: string): { add(loss: Loss): void } {
  const losses: Loss[] = [];
  afterAll(() => {
    const { version, sha256 } = guardInUse();
    const times: LabTimes = {
      date: new Date().toISOString().slice(0, 10),
      guard: { version, sha256 },
      machine: `Linux ${release()}, ${cpus().length} cores`,
      load: Number((loadavg()[0] ?? 0).toFixed(1)),
      losses,
    };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(times, null, 2)}\n`);
    process.stdout.write(`${lossRows(losses).join('\n')}\n`);
  });
  return { add: (loss) => void losses.push({ ...loss, seconds: Number(loss.seconds.toFixed(1)) }) };
}
