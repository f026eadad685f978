import { quoteWord } from '../host/quote.ts';

/** What a phase's command needs around it, as shell text for standard input: nothing in argv. */
export interface Launch {
  phase: string;
  script: string;
  env: Record<string, string>;
  /** Directory to run in; without it, the user's home. */
  cwd?: string;
  /** A word that the script does not contain. */
  nonce: string;
  /** Seconds for which the host may be away when the script restarts it; none when it may not. */
  reboot?: number;
}

// Shell's syntax, not a template of ours.
const homeOrRoot = '"${HOME:-/}"';

const early = `trap 'rm -rf "$savepoint_dir"; exit 143' HUP PIPE TERM`;

/**
 * Shell text that sets the environment, writes the script to a folder only its user may enter, and
 * runs it: through the interpreter of its own `#!` line as it is, else by `sh -e`, so that the first
 * command that fails ends it. The script reads nothing and finds no secret in any argv. What ends a
 * job early begins with TERM, and a shell whose reader is gone learns of it by PIPE: the folder goes then too.
 */
export function launcher({ phase, script, env, cwd, nonce, reboot }: Launch): string {
  const variables = Object.entries(env)
    .map(([name, value]) => `export ${name}=${quoteWord(value)}\n`)
    .join('');
  const direct = script.startsWith('#!');
  const run = direct
    ? '"$savepoint_dir/$savepoint_phase"'
    : 'sh -e "$savepoint_dir/$savepoint_phase"';
  return `savepoint_phase=${quoteWord(phase)}
cd ${cwd === undefined ? homeOrRoot : quoteWord(cwd)} || cd / || exit 126
savepoint_dir=$(mktemp -d "\${TMPDIR:-/tmp}/savepoint.XXXXXXXX") || exit 126
${reboot === undefined ? early : 'trap : HUP PIPE TERM'}
cat >"$savepoint_dir/$savepoint_phase" <<'${nonce}'
${script.endsWith('\n') ? script : `${script}\n`}${nonce}
chmod 700 "$savepoint_dir/$savepoint_phase"
(
${variables}
${run} </dev/null
)
savepoint_status=$?
rm -rf "$savepoint_dir"
${reboot === undefined ? '' : goingDown}exit "$savepoint_status"
`;
}

/**
 * A host that goes down ends the script by a signal, and that is not how the script ended. Where there is
 * no systemd that would tell the guard, a script that was ended so gets the time in which its host would.
 * The TERM that ended it may come to the nap as well, which has to ignore it.
 */
const goingDown = `trap '' HUP TERM
case $savepoint_status in 129 | 137 | 143) sleep 15 ;; esac
`;

/** Names of the CI's own channels: what a phase on this machine writes there would steer later steps. */
const channels =
  /^(INPUT_|STATE_|ACTIONS_|GITHUB_(ENV|PATH|OUTPUT|STATE|STEP_SUMMARY|TOKEN)$|SAVEPOINT_|NODE_OPTIONS$|CI_JOB_TOKEN$|SSH_AUTH_SOCK$)/;

/** What a phase on the machine of the step itself gets of that step's environment. */
export function controllerEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || channels.test(name)) continue;
    // Others cannot be set by a shell.
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) kept[name] = value;
  }
  return kept;
}
