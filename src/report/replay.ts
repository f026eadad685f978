import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RunEvent } from '../run/events.ts';
import { fileNames } from './folder.ts';
import type { ResultFold } from './result.ts';

/**
 * Lets a fold see the events that an earlier process of the same run wrote down. They only make
 * the report whole: nothing is decided by them, since the job could have edited the file.
 * @returns False when there is no readable file, so that the report can say it is not whole.
 */
export async function replay(folder: string, fold: ResultFold): Promise<boolean> {
  const input = createReadStream(join(folder, fileNames.events));
  try {
    // A missing file is an error of the stream, which the reader alone does not pass on.
    await new Promise((resolve, reject) => input.once('open', resolve).once('error', reject));
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const event = parsed(line);
      if (event) fold.note(event);
    }
    return true;
  } catch {
    return false;
  }
}

/** The event of a line; undefined for one that was cut off when its writer was killed. */
function parsed(line: string): RunEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const isEvent = typeof value === 'object' && value !== null && 'kind' in value;
    return isEvent ? (value as RunEvent) : undefined;
  } catch {
    return undefined;
  }
}
