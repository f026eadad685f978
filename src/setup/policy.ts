import { scriptField } from '../guard/protocol.ts';

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

const header = `\
# What may be done here through the guard by those who reach it by sudo; everything else is refused.
# Written by \`savepoint host setup\`; root may edit it. Lines: track PATH, refresh COMMAND, probe COMMAND, user NAME.
`;

/** The policy as the guard reads it: a word and a value a line. */
export function policyText({ track, refresh, probe, user }: Policy): string {
  const lines = [
    ...track.map((path) => `track ${path}`),
    ...refresh.map((script) => `refresh ${scriptField(script)}`),
    ...probe.map((script) => `probe ${scriptField(script)}`),
    ...(user === undefined ? [] : [`user ${user}`]),
  ];
  return `${header}${lines.map((line) => `${line}\n`).join('')}`;
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
  const others = text.split('\n').filter((line) => line !== '' && !line.startsWith('user '));
  return [...others, `user ${user}`].map((line) => `${line}\n`).join('');
}
