import type { core } from 'zod';
import { type ErrorName, SavepointError } from '../errors.ts';
import type { FieldPath, JobDocument } from './document.ts';
import { nearest } from './nearest.ts';

/** Something wrong with one field of a job. */
export interface Complaint {
  name: ErrorName;
  path: FieldPath;
  message: string;
  found?: unknown;
  allowed?: unknown;
  hint?: string | undefined;
  cause?: unknown;
}

/** The complaint as an error that names the file, the line and the field. */
export function complain(document: JobDocument, complaint: Complaint): SavepointError {
  const { name, path, message, found, allowed, hint, cause } = complaint;
  const setBy = document.setBy(path);
  return new SavepointError(name, {
    message,
    place: document.place(path),
    details: {
      ...(setBy !== undefined && { 'set by': setBy }),
      ...(found !== undefined && { found }),
      ...(allowed !== undefined && { allowed }),
    },
    ...(hint !== undefined && { hint }),
    cause,
  });
}

/** Everything the schema has against a document: the first as the error, the others named in it. */
export function complainAll(
  document: JobDocument,
  issues: readonly core.$ZodIssue[],
  allowedKeys: (path: FieldPath) => string[],
): SavepointError {
  const complaints = issues.flatMap((issue) => complaintsOf(issue, [], document.data, allowedKeys));
  const byPlace = complaints
    .map((complaint) => complain(document, complaint))
    .sort((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0));
  const [first, ...others] = byPlace as [SavepointError, ...SavepointError[]];
  if (others.length > 0) {
    first.details.also = others.map(({ place, message }) => {
      const sentence = message.replace(/\.$/, '');
      return place?.line === undefined ? sentence : `line ${place.line}: ${sentence}`;
    });
  }
  return first;
}

function complaintsOf(
  issue: core.$ZodIssue,
  above: FieldPath,
  data: unknown,
  allowedKeys: (path: FieldPath) => string[],
): Complaint[] {
  const path = [...above, ...(issue.path as (string | number)[])];
  const found = valueAt(data, path);
  const field = path.length === 0 ? 'The job' : `"${path.join('.')}"`;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const allowed = allowedKeys(path);
      return issue.keys.map((key) => ({
        name: 'job-unknown-key',
        path: [...path, key],
        message: `There is no key "${key}"${path.length > 0 ? ` in ${field}` : ''}.`,
        allowed: [...allowed, 'x-…'],
        hint: meant(key, allowed),
      }));
    }
    case 'invalid_type':
      if (found === undefined) return [missing(path, field, [issue.expected])];
      return [wrongType(path, field, found, [issue.expected])];
    case 'invalid_union': {
      // The alternative that was meant is the one whose type fits; its complaints are the real ones.
      const fitting = issue.errors.find((errors) => !errors.some(isAboutType));
      if (fitting) return fitting.flatMap((one) => complaintsOf(one, path, data, allowedKeys));
      const expected = issue.errors.flat().filter(isAboutType);
      const types = expected.map(({ expected }) => expected);
      return [
        found === undefined ? missing(path, field, types) : wrongType(path, field, found, types),
      ];
    }
    case 'invalid_key':
      return [
        {
          name: 'job-bad-value',
          path,
          message: `"${path.at(-1)}" cannot be the name of an environment variable.`,
          allowed: issue.issues.map(allowedBy).join(', '),
        },
      ];
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const hint = typeof found === 'string' ? meant(found, allowed) : undefined;
      return [{ ...badValue(path, field, found), allowed, hint }];
    }
    default:
      return [{ ...badValue(path, field, found), allowed: allowedBy(issue) }];
  }
}

function badValue(path: FieldPath, field: string, found: unknown): Complaint {
  return { name: 'job-bad-value', path, message: `${field} has a value it cannot have.`, found };
}

const typeNames: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function missing(path: FieldPath, field: string, types: string[]): Complaint {
  const message = `${field} is missing.`;
  return { name: 'job-missing-field', path, message, allowed: namesOf(types) };
}

function namesOf(types: string[]): string {
  return [...new Set(types.map((type) => typeNames[type] ?? type))].join(' or ');
}

function wrongType(path: FieldPath, field: string, found: unknown, types: string[]): Complaint {
  const allowed = namesOf(types);
  const message = `${field} must be ${allowed}, not ${kindOf(found)}.`;
  const shown = typeof found === 'object' && found !== null ? kindOf(found) : found;
  return { name: 'job-wrong-type', path, message, found: shown, allowed };
}

function kindOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  return typeNames[typeof value] ?? typeof value;
}

function isAboutType(issue: core.$ZodIssue): issue is core.$ZodIssueInvalidType {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

/** What a check of the schema allows: its own words, or those for zod's that has none. */
function allowedBy(issue: core.$ZodIssue): string {
  const hasWords = issue.message !== undefined && !/^(Too|Invalid) /.test(issue.message);
  if (hasWords) return issue.message;
  if (issue.code === 'too_small') {
    return issue.origin === 'string' || issue.origin === 'array'
      ? 'anything that is not empty'
      : `${issue.minimum} or more`;
  }
  return issue.code === 'too_big' ? `at most ${issue.maximum}` : (issue.message ?? '');
}

function meant(word: string, candidates: string[]): string | undefined {
  const candidate = nearest(word, candidates);
  return candidate && `Did you mean "${candidate}"?`;
}

function valueAt(data: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>(
    (node, key) =>
      typeof node === 'object' && node !== null
        ? (node as Record<string, unknown>)[key]
        : undefined,
    data,
  );
}
