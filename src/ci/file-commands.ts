import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { SavepointError, sentenceOf } from '../errors.ts';

/**
 * Appends `name=value` to one of the files through which a step talks to GitHub's runner, in the
 * form that takes any value (actions/toolkit, file-command.ts). One write, so that a process
 * killed in the middle leaves all of it or nothing.
 */
export function appendVariable(file: string, name: string, value: string): void {
  const delimiter = `savepoint_${randomUUID()}`;
  append(file, `${name}<<${delimiter}\n${value}\n${delimiter}\n`);
}

export function append(file: string, text: string): void {
  try {
    appendFileSync(file, text);
  } catch (error) {
    throw new SavepointError('output-unwritable', {
      message: `The runner's file ${file} cannot be written: ${sentenceOf(error)}`,
      details: { file },
      cause: error,
    });
  }
}
