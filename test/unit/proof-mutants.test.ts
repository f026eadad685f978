import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mutants } from '../guard/proof/mutant-list.ts';
import { mutate } from '../guard/proof/mutants.ts';

const candidate = readFileSync('guard/guard.sh', 'utf8');

// The proof would find it out too, but only after hours.
test.each(mutants)('the candidate has what is edited where $name', (mutant) => {
  expect(mutate(candidate, mutant)).not.toBe(candidate);
});
