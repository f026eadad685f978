import { asSavepointError } from '../errors.ts';
import type { ErrorRecord } from './events.ts';

/** Anything thrown, as it stands in events. */
export function errorRecord(error: unknown): ErrorRecord {
  return asSavepointError(error).toJSON() as unknown as ErrorRecord;
}
