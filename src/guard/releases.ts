import { createHash } from 'node:crypto';
import { SavepointError } from '../errors.ts';
import { carried } from './carried.ts';

/** One released guard: what the host runs is these bytes and no others. */
export interface Guard {
  version: string;
  /** Lower-case hex. */
  sha256: string;
  text: string;
}

/**
 * The guard in use: the release that pin.json names, or the one with the digest asked for.
 * @throws SavepointError `pin-bad` when the release has other bytes than its pin says,
 *   `guard-unavailable` when no release has that digest.
 */
export function guardInUse(digest?: string): Guard {
  const { pin } = carried();
  const guards = releasedGuards();
  const wanted = digest ?? pin.sha256;
  const guard = guards.find(({ sha256 }) => sha256 === wanted);
  if (digest === undefined && guard?.version !== pin.version) {
    throw new SavepointError('pin-bad', {
      message: `The pin names guard ${pin.version} with SHA-256 ${pin.sha256}, but ${
        guard ? `that is the digest of ${guard.version}` : 'no released guard has this digest'
      }.`,
      details: { pin, releases: guards.map(({ version, sha256 }) => `${version} ${sha256}`) },
    });
  }
  if (!guard) {
    throw new SavepointError('guard-unavailable', {
      message: `No released guard has the SHA-256 ${wanted}.`,
      details: { wanted, have: guards.map(({ version, sha256 }) => `${version} ${sha256}`) },
      hint: 'Use a digest of this list, or a version of Savepoint that carries that guard.',
    });
  }
  return guard;
}

/** Every released guard that this version carries. */
export function releasedGuards(): Guard[] {
  return Object.entries(carried().releases).map(([version, text]) => ({
    version,
    text,
    sha256: digestOf(text),
  }));
}

/** The version of the released guard with this digest, if this version carries it. */
export function versionOf(sha256: string): string | undefined {
  return releasedGuards().find((guard) => guard.sha256 === sha256)?.version;
}

/** Lower-case hex SHA-256 of a text's UTF-8 bytes. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
