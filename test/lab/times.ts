import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../.cache/lab-times');

/** One measured way of losing the controller or the host. */
interface Loss {
  readonly what: string;
  /** From the loss to the outcome that the host recorded, its verification included. */
  readonly seconds: number;
  /** What the time is made of, such as the lease. */
  readonly of: string;
}

/**
 * Collects the losses that a test file measures. At its end they are printed, and kept in
 * test/.cache/lab-times/NAME.json for the documentation. No test depends on them.
 */
export function lossTable(name: string): { add(loss: Loss): void } {
  const losses: Loss[] = [];
  afterAll(() => {
    mkdirSync(folder, { recursive: true });
    const date = new Date().toISOString().slice(0, 10);
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ date, losses }, null, 2)}\n`);
    process.stdout.write(`${rows(losses).join('\n')}\n`);
  });
  return { add: (loss) => void losses.push({ ...loss, seconds: Number(loss.seconds.toFixed(1)) }) };
}

function rows(losses: readonly Loss[]): string[] {
  const cells = losses.map(
    ({ what, seconds, of }) => `| ${what} | ${seconds.toFixed(1)} | ${of} |`,
  );
  return ['| lost | restored after (s) | of which |', '| --- | --- | --- |', ...cells];
}
