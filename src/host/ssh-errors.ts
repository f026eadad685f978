import { SavepointError, sentenceOf } from '../errors.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/** A command is shown in errors as far as this many characters. */
const shownCommand = 200;

/** The host could not be reached, or what answered there is not SSH as we know it. */
export function unreachable(
  target: SshTarget,
  why: string,
  more: { details?: Record<string, unknown>; hint?: string; cause?: unknown } = {},
): SavepointError {
  const { details, ...rest } = more;
  return new SavepointError('host-unreachable', {
    message: `${targetName(target)} cannot be reached: ${why}`,
    details: { host: targetName(target), ...details },
    ...rest,
  });
}

export interface LoginFacts {
  /** Keys that were offered, in order. */
  readonly tried: readonly string[];
  /** What could not be offered, and why. */
  readonly passedOver: readonly string[];
  /** Methods that the host would have taken at the end. */
  readonly accepts: readonly string[];
  /** True when a key was accepted but the host wants something more. */
  readonly partial: boolean;
}

/** The host wants none of what was offered. Trying again would not change its mind. */
export function authFailed(target: SshTarget, facts: LoginFacts, cause?: unknown): SavepointError {
  const { tried, passedOver, accepts, partial } = facts;
  const onlyOthers = accepts.length > 0 && !accepts.includes('publickey');
  return new SavepointError('host-auth-failed', {
    message: partial
      ? `${targetName(target)} took the key but wants more to log in: ${accepts.join(', ')}.`
      : `${targetName(target)} refused every key that was offered.`,
    details: {
      host: targetName(target),
      user: target.user,
      method: 'publickey',
      tried,
      ...(passedOver.length > 0 && { passedOver }),
      ...(accepts.length > 0 && { accepts }),
    },
    hint:
      onlyOthers || partial
        ? 'Savepoint logs in with keys only; allow that on the host.'
        : `Is one of these keys in the authorized_keys of ${target.user}, and is that the right user?`,
    ...(cause !== undefined && { cause }),
  });
}

/** The connection broke, or the server ended it, while something was going on. */
export function lost(
  target: SshTarget,
  what: string,
  why: string,
  details: Record<string, unknown> = {},
): SavepointError {
  const shown = what.length > shownCommand ? `${what.slice(0, shownCommand)}…` : what;
  return new SavepointError('host-lost', {
    message: `The connection to ${targetName(target)} broke: ${why}`,
    details: { host: targetName(target), running: shown, ...details },
  });
}

/** One clause for anything that a socket or ssh2 threw. */
export function clauseOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const known = typeof code === 'string' ? clauses[code] : undefined;
  return known ? `${known} (${code})` : sentenceOf(error);
}

const clauses: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the other side reset the connection',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to its network',
  ENOTFOUND: 'no such name is known',
  EAI_AGAIN: 'the name server does not answer',
  ETIMEDOUT: 'no answer in time',
  EPIPE: 'the other side closed the connection',
};
