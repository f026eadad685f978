import { SavepointError } from '../errors.ts';
import type { Command } from './host.ts';

/** The longest single word that Linux passes to a program, its final NUL included. */
const longestWord = 128 * 1024;

const plainWord = /^[A-Za-z0-9_./:@,+-]+$/;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * One word for a POSIX shell (POSIX.1-2024, XCU 2.2.2: within single quotes every character is
 * itself, so only the single quote needs care).
 * @throws SavepointError `defect` for a NUL, which no argument can hold.
 */
export function quoteWord(word: string): string {
  if (word.includes('\0')) {
    throw new SavepointError('defect', {
      message: 'A word of a command holds a NUL character, which no argument can.',
      details: { word },
    });
  }
  return plainWord.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A list of words for a POSIX shell. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}

/**
 * The command as one line for the login shell of the host. `exec` makes the command take the
 * shell's place, so that its exit and its signals are its own. The environment goes through
 * `env`, which every login shell can start, be it sh, csh or fish.
 * @throws SavepointError `defect` when it is longer than a shell can be given.
 */
export function commandLine(command: Pick<Command, 'argv' | 'cwd'>, env = {}): string {
  const { argv, cwd } = command;
  const assignments = Object.entries<string>(env).map(([name, value]) => {
    checkVariableName(name);
    return quoteWord(`${name}=${value}`);
  });
  // `env` would take a first word with `=` for one more variable.
  const words = argv[0].includes('=') ? ['sh', '-c', 'exec "$@"', 'sh', ...argv] : argv;
  const start = assignments.length > 0 ? `env ${assignments.join(' ')} ` : '';
  const line = `${enter(cwd)}exec ${start}${quoteWords(words)}`;
  if (Buffer.byteLength(line) >= longestWord) {
    throw new SavepointError('defect', {
      message: `The command ${argv[0]} is too long to be started on the host; it belongs on standard input.`,
      details: { bytes: Buffer.byteLength(line), limit: longestWord - 1 },
    });
  }
  return line;
}

/** Refuses what a shell or a program could take for something other than a variable's name. */
export function checkVariableName(name: string): void {
  if (variableName.test(name)) return;
  throw new SavepointError('defect', {
    message: `${JSON.stringify(name)} cannot be the name of an environment variable.`,
  });
}

// 126 as for a command that is there but cannot be started. A relative path gets `./` since
// `cd` would look for it in CDPATH and reads `-` as an option or the previous directory.
function enter(cwd: string | undefined): string {
  if (cwd === undefined) return '';
  return `cd ${quoteWord(cwd.startsWith('/') ? cwd : `./${cwd}`)} || exit 126; `;
}
