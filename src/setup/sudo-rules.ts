import { guardPlace } from './places.ts';

/**
 * What a CI user may ask a guard for. Not `clear`: lifting a quarantine takes a person with root's
 * login. Not the guard's own verbs, which take their state folder as an argument.
 */
export const verbs = [
  'begin',
  'apply',
  'exec',
  'kill',
  'renew',
  'commit',
  'rollback',
  'status',
  'recover',
] as const;

export interface SudoRules {
  user: string;
  /** Digests of the guards, oldest first. */
  guards: string[];
}

const header = `\
# These released guards may be run as root, byte for byte (sudoers(5), Digest_Spec), and nothing else.
# Written by \`savepoint host setup\`; \`savepoint host remove\` takes it away.
`;

/**
 * The sudoers file: a rule for each guard and verb, so that no other argument is allowed. The
 * defaults keep the environment of the caller and the input, which holds the transaction's
 * token, out of what root's programs and sudo's logs see.
 */
export function sudoersText({ user, guards }: SudoRules): string {
  const each = guards.map((sha256) => {
    const guard = guardPlace(sha256);
    const rules = verbs.map(
      (verb) => `${user} ALL=(root) NOPASSWD: sha256:${sha256} ${guard} ${verb}\n`,
    );
    return `Defaults!${guard} env_reset, !setenv, !requiretty, !use_pty, !log_input, !log_output\n${rules.join('')}`;
  });
  return `${header}${each.join('')}`;
}

/** Reads what `sudoersText` wrote; undefined for a file that allows nothing. */
export function parseSudoers(text: string): SudoRules | undefined {
  const rules = [
    ...text.matchAll(/^(\S+) ALL=\(root\) NOPASSWD: sha256:([0-9a-f]{64}) \S+ \S+$/gm),
  ];
  const user = rules[0]?.[1];
  if (user === undefined) return undefined;
  return { user, guards: [...new Set(rules.map(([, , sha256 = '']) => sha256))] };
}

/**
 * What else a user may run as somebody else, from what `sudo -l -U USER` prints: a line each,
 * without the rules above. Empty when the guard is all there is.
 */
export function otherRules(list: string): string[] {
  const at = list.search(/may run the following commands/);
  if (at < 0) return [];
  // A rule begins behind four blanks; what is wrapped is indented deeper.
  const rules = list
    .slice(at)
    .split('\n')
    .slice(1)
    .join('\n')
    .replace(/\n {5,}/g, ' ')
    .split('\n');
  return rules
    .map((rule) => rule.trim().replace(/\s+/g, ' '))
    .filter((rule) => rule.replace(ours, '').replace(/\(root\) NOPASSWD:|[ ,]/g, '') !== '');
}

const ours = /sha256:[0-9a-f]{64} \/var\/lib\/savepoint\/guard\/[0-9a-f]{64}\/guard [a-z]+/g;
