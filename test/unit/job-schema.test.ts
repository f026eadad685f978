import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allowedKeys, jobJsonSchema } from '../../src/job/schema.ts';
import { isSettingName, settingNames, settingOf } from '../../src/job/settings.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/job-file.md'), 'utf8');

test('the JSON Schema forbids unknown keys, but not those that start with x-', () => {
  const schema = jobJsonSchema();
  expect(schema).toMatchObject({ additionalProperties: false, patternProperties: { '^x-': {} } });
  expect(schema.required).toEqual(['track']);
});

test('every field is described for editors', () => {
  const { properties } = jobJsonSchema() as {
    properties: Record<string, { description?: string }>;
  };
  expect(Object.keys(properties)).toEqual(allowedKeys([]));
  for (const [name, { description }] of Object.entries(properties)) {
    expect(description, name).toMatch(/\.$/);
  }
});

test.each([
  ['a job', []],
  ['a host', ['host']],
  ['a phase', ['phases', 'test']],
  ['the phases', ['phases']],
])('every key of %s is in docs/job-file.md', (_, path) => {
  for (const key of allowedKeys(path)) expect(page, key).toContain(`\`${key}\``);
});

test('every option sets a field there is', () => {
  for (const name of settingNames) {
    const { path } = settingOf(name);
    for (const [depth, key] of path.entries()) {
      if (path[0] === 'env' && depth > 0) continue;
      expect(allowedKeys(path.slice(0, depth)), name).toContain(key);
    }
  }
  expect(isSettingName('toString')).toBe(false);
});
