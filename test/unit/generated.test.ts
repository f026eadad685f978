import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generatedFiles } from '../../scripts/generated.ts';

const repository = join(import.meta.dirname, '..', '..');

test.each(Object.entries(generatedFiles()))('%s is current (npm run docs)', (path, text) => {
  expect(readFileSync(join(repository, path), 'utf8')).toBe(text);
});
