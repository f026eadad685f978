import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter } from 'node:path';
import { text } from 'node:stream/consumers';
import { cliFile } from './built.ts';

export interface Ended {
  /** Exit status, or the signal that ended it. */
  exit: number | string | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  cwd: string;
  env?: Record<string, string>;
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** Resolves when standard output has held the text. */
  seen(text: string): Promise<void>;
}

/** npm puts the Node of the action first; people run the command with the machine's own. */
const path = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.endsWith('.bin'))
  .join(delimiter);

/** Starts the built command with the machine's own Node. */
export function start(words: string[], { cwd, env = {} }: CommandOptions): Started {
  const child = spawn('node', [cliFile(), ...words], {
    cwd,
    env: { PATH: path, HOME: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let shown = '';
  const watchers: { text: string; found: () => void }[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    for (const { text, found } of watchers) if (shown.includes(text)) found();
  });
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)]).then(
    ([[code, signal], stdout, stderr]) => ({ exit: code ?? signal, stdout, stderr }),
  );
  const seen = (wanted: string): Promise<void> =>
    new Promise((found) => {
      if (shown.includes(wanted)) found();
      else watchers.push({ text: wanted, found });
    });
  return { child, ended, seen };
}

export function savepoint(words: string[], options: CommandOptions): Promise<Ended> {
  return start(words, options).ended;
}
