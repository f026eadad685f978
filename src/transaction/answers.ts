import { SavepointError } from '../errors.ts';
import { type Answer, allOf, firstOf } from '../guard/protocol.ts';
import type { Applied, Begun, Decided, Outcome, PathChange } from './types.ts';

const outcomes: readonly string[] = [
  'committed',
  'rolled-back',
  'rolled-back-unhealthy',
  'conflict',
  'rollback-failed',
] satisfies Outcome[];

export function begunFrom({ fields }: Answer): Begun {
  return {
    entries: Number(firstOf(fields, 'entries')),
    bytes: Number(firstOf(fields, 'bytes')),
    bootId: firstOf(fields, 'boot') ?? '',
    warnings: allOf(fields, 'warning').map(readableName),
  };
}

export function appliedFrom({ fields, body }: Answer): Applied {
  const changed = pathsOf(fields).map(({ path, state }) => ({
    path,
    change: state as PathChange['change'],
  }));
  return { changed, diff: readableName(body) };
}

/** @throws SavepointError `guard-protocol` for an outcome that this version does not know. */
export function decidedFrom({ fields, body }: Answer): Decided {
  // A person may have cleared the host since; the transaction failed all the same.
  const outcome = (firstOf(fields, 'outcome') ?? '').replace(/, cleared$/, '');
  if (!outcomes.includes(outcome)) {
    throw new SavepointError('guard-protocol', {
      message: `The guard ended the transaction with the unknown outcome '${outcome}'.`,
      details: { outcome, known: outcomes },
    });
  }
  return {
    decision: firstOf(fields, 'decision') === 'commit' ? 'commit' : 'rollback',
    outcome: outcome as Outcome,
    by: firstOf(fields, 'by') ?? '',
    paths: pathsOf(fields),
    diff: readableName(body),
    packages: allOf(fields, 'package')
      .map((line) => `${line}\n`)
      .join(''),
    warnings: allOf(fields, 'warning').map(readableName),
  };
}

/** `path STATE NAME` lines of an answer. */
export function pathsOf(fields: Answer['fields']): { path: string; state: string }[] {
  return allOf(fields, 'path').map((line) => {
    const space = line.indexOf(' ');
    return { state: line.slice(0, space), path: readableName(line.slice(space + 1)) };
  });
}

/** The guard's lists have \x01 for a line break in a name and \x02 for a tab; people see escapes. */
function readableName(text: string): string {
  return text.replaceAll('\x01', '\\n').replaceAll('\x02', '\\t');
}
