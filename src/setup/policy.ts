import { scriptField } from '../guard/protocol.ts';
import { policyProgram } from './host-programs.ts';

/** What a host allows those who reach its guard by sudo (docs/guard-protocol.md, "Policy"). */
export interface Policy {
  /** Paths that may be tracked, with all below them. */
  track: string[];
  /** Scripts that may run as root after a rollback, exactly so. */
  refresh: string[];
  probe: string[];
  /** Who phases run as, instead of the login. */
  user?: string;
}

/** The policy as the guard runs it: a program, and below its end a word and a value a line. */
export function policyText({ track, refresh, probe, user }: Policy): string {
  const lines = [
    ...track.map((path) => `track ${path}`),
    ...refresh.map((script) => `refresh ${scriptField(script)}`),
    ...probe.map((script) => `probe ${scriptField(script)}`),
    ...(user === undefined ? [] : [`user ${user}`]),
  ];
  return `${policyProgram()}${lines.map((line) => `${line}\n`).join('')}`;
}

/** The values of one kind of line in a policy that is on a host. */
export function policyValues(text: string, word: 'track' | 'refresh' | 'probe' | 'user'): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${word} `))
    .map((line) => line.slice(word.length + 1));
}

/** The same policy with another user for its phases. */
export function withUser(text: string, user: string): string {
  return `${text.replace(/^user .*\n/gm, '')}user ${user}\n`;
}
