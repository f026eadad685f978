import { catalogue, type ErrorName, SavepointError } from '../errors.ts';

/** The protocol this controller speaks (docs/guard-protocol.md). */
export const PROTOCOL = 1;

/** Header lines of a request or an answer, in order; a key may repeat. */
export type Fields = readonly (readonly [key: string, value: string])[];

export interface Answer {
  fields: Fields;
  /** What follows the header: a unified diff, for verbs that have one. */
  body: string;
}

/**
 * The header of a request. Values are one line each: a line break in one would be read as the next
 * field, so it is refused here, whatever was checked before.
 * @throws SavepointError `defect` for a value with a line break.
 */
export function encodeRequest(fields: Fields): string {
  for (const [key, value] of fields) {
    if (/[\n\r\0]/.test(value)) {
      throw new SavepointError('defect', {
        message: `The guard's field ${key} cannot hold a line break.`,
        details: { key, value },
      });
    }
  }
  const lines = fields.map(([key, value]) => `${key} ${value}\n`);
  return `savepoint ${PROTOCOL}\n${lines.join('')}\n`;
}

/**
 * A script as the value of one field: `printf %b` gives its line breaks back. A host's policy names
 * a command in this form, so it never changes for a script.
 */
export function scriptField(script: string): string {
  const trimmed = script.trim();
  if (!/[\n\r]/.test(trimmed)) return trimmed;
  const escaped = trimmed
    .replaceAll('\\', '\\\\')
    .replaceAll('\r', '')
    .replaceAll('\n', '\\n')
    .replaceAll("'", "'\\''");
  return `eval "$(printf %b '${escaped}')"`;
}

/**
 * Reads an answer. Names of files come with \x01 for a line break in them.
 * @throws SavepointError the error that the guard answered, by its name in the catalogue;
 *   `guard-protocol` for anything that is no answer.
 */
export function decodeAnswer(bytes: Buffer, verb: string): Answer {
  const text = bytes.toString('utf8');
  const end = text.indexOf('\n\n');
  const header = (end < 0 ? text : text.slice(0, end)).split('\n');
  const [magic, version, status, name = ''] = (header[0] ?? '').split(' ');
  if (magic !== 'savepoint' || version !== String(PROTOCOL) || end < 0) {
    throw new SavepointError('guard-protocol', {
      message: `The guard's answer to ${verb} cannot be understood.`,
      details: { verb, answer: text.slice(0, 400) },
    });
  }
  const fields = header.slice(1).map((line) => {
    const space = line.indexOf(' ');
    return space < 0
      ? ([line, ''] as const)
      : ([line.slice(0, space), line.slice(space + 1)] as const);
  });
  if (status === 'ok') return { fields, body: text.slice(end + 2) };
  throw answeredError(name, firstOf(fields, 'message') ?? '', verb);
}

/** The first value of a key, if there is one. */
export function firstOf(fields: Fields, key: string): string | undefined {
  return fields.find(([each]) => each === key)?.[1];
}

/** Every value of a key, in order. */
export function allOf(fields: Fields, key: string): string[] {
  return fields.filter(([each]) => each === key).map(([, value]) => value);
}

function answeredError(name: string, message: string, verb: string): SavepointError {
  const details = { verb };
  if (Object.hasOwn(catalogue, name)) {
    return new SavepointError(name as ErrorName, {
      message: message.charAt(0).toUpperCase() + message.slice(1),
      details,
    });
  }
  return new SavepointError('guard-protocol', {
    message: `The guard answered ${verb} with an error this version does not know: ${name}: ${message}`,
    details,
  });
}
