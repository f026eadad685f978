#!/usr/bin/env node
import { takeEnvironment } from './ci/environment.ts';
import { ignoreClosedOutput } from './ci/terminal.ts';
import { splitWords } from './cli/io.ts';
import { version } from './cli/version.ts';
import { KEEPER } from './run/keeper-word.ts';

// Each of the three loads no more than it needs: that takes longer than many a command itself.
const { words, command } = splitWords(process.argv.slice(2));
if (words[0] === KEEPER) {
  void import('./run/keeper-process.ts').then(({ keepUntilOver }) => keepUntilOver(process.stdin));
} else {
  const { stdout, stderr } = process;
  ignoreClosedOutput([stdout, stderr]);
  if (words[0] === '--version' && command.length === 0) {
    stdout.write(`${version()}\n`);
  } else {
    const io = { stdout, stderr, env: takeEnvironment(process.env), command };
    void import('./cli/program.ts')
      .then(({ runProgram }) => runProgram(words, io))
      .then((exit) => {
        process.exitCode = exit;
      });
  }
}
