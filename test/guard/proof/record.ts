import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ProofRecord } from '../../../src/releasing/proof-record.ts';
import type { Caught } from './mutants.ts';
import type { Results } from './table.ts';

/** SHA-256 of a guard's bytes as they are now. */
export function digestOfFile(guard: string): string {
  return createHash('sha256').update(readFileSync(guard)).digest('hex');
}

/**
 * What a run found, as `savepoint guard release` reads it from docs/proof.json.
 * @param guard digest of the guard when the run began.
 */
export function proofRecord(
  guard: string,
  results: Results,
  caught: readonly Caught[],
  { whole, args }: { whole: boolean; args: readonly string[] },
): ProofRecord {
  const { points, runs, violations } = results.total;
  return {
    date: new Date().toISOString(),
    command: ['npm run proof', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    guard,
    whole,
    points,
    lives: runs,
    violations: violations.length,
    mutants: {
      tried: caught.length,
      caught: caught.filter(({ by }) => by).length,
      reasoned: caught.filter(({ by, mutant }) => !by && mutant.unseen).length,
    },
  };
}
