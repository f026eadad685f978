import { Command, CommanderError } from 'commander';
import { SavepointError } from '../errors.ts';
import { commandNames, commandsFor } from './commands.ts';
import { complain, type Io } from './io.ts';
import { version } from './version.ts';

const help = `
Exit status: 0 done, 1 the job failed, 2 wrong input and nothing touched, 3 trouble with the host,
46 the host could not be brought back, 70 a defect; 128 plus the signal for a job that was cancelled.

Examples:
  savepoint run job.yml
  savepoint run --track apt --files ./files -- make check
  savepoint status ssh://root@lab-07
See \`savepoint COMMAND --help\`.`;

/**
 * Runs the command line.
 * @param words Without node and the script; what follows `--` is in `io.command`.
 * @returns The exit status.
 */
export async function runProgram(words: readonly string[], io: Io): Promise<number> {
  let exit = 0;
  const done = (status: number): void => {
    exit = status;
  };
  const program = new Command('savepoint')
    .description("makes a CI job's changes to a lab host a transaction")
    .version(version(), '--version', 'print the version')
    .helpOption('--help', 'tell how to use it')
    .helpCommand(false)
    .addHelpText('after', help)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: () => undefined,
    });
  program.configureHelp({ sortSubcommands: false, showGlobalOptions: false });

  try {
    refuseCommand(words, io);
    for (const add of await commandsFor(words[0])) add(program, io, done);
    for (const each of everyCommand(program)) each.exitOverride().helpOption('--help', 'tell how');
    await program.parseAsync([...words], { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return complain(io, usageError(error), words.includes('--json'));
  }
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap((each) => [each, ...everyCommand(each)]);
}

/** Only run and exec start a command of the caller's. */
function refuseCommand([name]: readonly string[], { command }: Io): void {
  if (command.length === 0 || name === 'run' || name === 'exec') return;
  throw new SavepointError('bad-usage', {
    message: `\`${name ?? 'savepoint'}\` takes no command after --.`,
    details: { found: command.join(' '), allowed: 'run, exec' },
  });
}

/** What commander refuses, as an error of ours; anything else as it is. */
function usageError(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.code === 'commander.help') {
    return new SavepointError('bad-usage', {
      message: 'A command is missing.',
      details: { allowed: commandNames },
      hint: 'savepoint --help',
    });
  }
  const sentence = error.message.replace(/^error: /, '').replace(/\n/g, ' ');
  return new SavepointError('bad-usage', {
    message: `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`,
    hint: 'savepoint --help, or savepoint COMMAND --help',
  });
}
