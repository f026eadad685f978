import { expect, describe as group, test } from 'vitest';
import {
  asSavepointError,
  catalogue,
  describe,
  exitCodes,
  isErrorName,
  SavepointError,
} from '../../src/errors.ts';

group('the catalogue', () => {
  const entries = Object.entries(catalogue);

  test('gives every error a number of its own', () => {
    const codes = entries.map(([, { code }]) => code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  test('groups numbers by class', () => {
    const hundreds = { usage: 1, job: 2, host: 3, recovery: 4, internal: 9 };
    for (const [name, { code, class: errorClass }] of entries) {
      expect(Math.floor(code / 100), name).toBe(hundreds[errorClass]);
    }
  });

  test('says in one sentence what each error means', () => {
    for (const [name, { reason }] of entries) expect(reason, name).toMatch(/^[A-Z].*\.$/);
  });

  // Scripts compare these numbers: add new ones, never change one that was released.
  test('keeps the numbers it was released with', () => {
    const released = {
      'bad-usage': 101,
      'job-file-missing': 103,
      'job-unknown-key': 105,
      'track-relative': 109,
      'files-outside-tracked': 116,
      'host-conflict': 120,
      'state-missing': 127,
      'phase-failed': 201,
      'check-failed': 203,
      'host-unreachable': 301,
      'host-key-changed': 304,
      'no-sudo': 307,
      'host-busy': 308,
      'guard-mismatch': 316,
      'rollback-failed': 401,
      'rolled-back-unhealthy': 402,
      defect: 901,
    };
    for (const [name, code] of Object.entries(released)) {
      expect(isErrorName(name) && catalogue[name].code, name).toBe(code);
    }
  });
});

test('a name that is inherited by every object is no error name', () => {
  expect(isErrorName('toString')).toBe(false);
});

test('exit statuses are those of the design', () => {
  expect(exitCodes).toEqual({ job: 1, usage: 2, host: 3, internal: 70, recovery: 46 });
  expect(new SavepointError('host-busy').exitCode).toBe(3);
});

test('an error says what its catalogue entry says when nothing more specific is known', () => {
  const error = new SavepointError('host-busy');
  expect(error.message).toBe(catalogue['host-busy'].reason);
  expect(error).toMatchObject({ name: 'host-busy', code: 308, class: 'host', details: {} });
});

test('an error as JSON has its facts and everything that led to it', () => {
  const inner = new SavepointError('host-lost', { details: { host: 'lab-07' } });
  const system = Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });
  const error = new SavepointError('rollback-failed', {
    message: 'Nothing worked.',
    cause: new AggregateError([inner, system]),
    hint: 'Go there.',
  });
  expect(JSON.parse(JSON.stringify(error))).toEqual({
    code: 401,
    name: 'rollback-failed',
    class: 'recovery',
    reason: 'Nothing worked.',
    details: {},
    hint: 'Go there.',
    causes: [
      {
        code: 305,
        name: 'host-lost',
        class: 'host',
        reason: catalogue['host-lost'].reason,
        details: { host: 'lab-07' },
        causes: [],
      },
      { name: 'Error', reason: 'no route', code: 'EHOSTUNREACH' },
    ],
  });
});

test('anything that is not in the catalogue is a defect that keeps its cause', () => {
  const cause = new TypeError('x is not a function');
  const error = asSavepointError(cause);
  expect(error).toMatchObject({ name: 'defect', class: 'internal', cause });
  expect(error.message).toContain('x is not a function');
  expect(asSavepointError(error)).toBe(error);
  expect(asSavepointError('just text').message).toContain('just text');
});

test('a person reads the sentence, the place, the facts, the causes and the hint', () => {
  const error = new SavepointError('job-unknown-key', {
    message: 'There is no key "trak".',
    place: { file: 'job.yml', line: 3, column: 1, field: 'trak' },
    details: { allowed: ['track', 'files'], nothing: undefined },
    hint: 'Did you mean "track"?',
    cause: new Error('because'),
  });
  expect(describe(error).split('\n')).toEqual([
    'job-unknown-key (105): There is no key "trak".',
    '  at       job.yml:3:1, field trak',
    '  allowed  track, files',
    '  cause    because',
    '  hint     Did you mean "track"?',
  ]);
});

test('what came from elsewhere cannot write to the terminal', () => {
  const error = new SavepointError('host-busy', {
    details: { holder: 'a\u001b[2Jb\n::error::c\u009b' },
  });
  expect(describe(error)).toContain('holder  a\\u001b[2Jb\\n::error::c');
  expect(describe(error)).not.toMatch(/\p{Cc}(?<!\n)/u);
});
