#!/usr/bin/env node
import { takeEnvironment } from './ci/github.ts';
import { ignoreClosedOutput } from './ci/terminal.ts';
import { splitWords } from './cli/io.ts';
import { runProgram } from './cli/program.ts';
import { KEEPER, keepUntilOver } from './run/keeper-process.ts';

const { stdin, stdout, stderr } = process;
const { words, command } = splitWords(process.argv.slice(2));
if (words[0] === KEEPER) {
  void keepUntilOver(stdin);
} else {
  ignoreClosedOutput([stdout, stderr]);
  const io = { stdout, stderr, env: takeEnvironment(process.env), command };
  void runProgram(words, io).then((exit) => {
    process.exitCode = exit;
  });
}
