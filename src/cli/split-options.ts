import type { Command } from 'commander';
import { addSettings, collect } from './options.ts';

/** What every command takes that takes up a recorded transaction. */
export function addSplitOptions(command: Command): void {
  command
    .option('--state <FILE>', 'where it is recorded (SAVEPOINT_STATE, .savepoint-state.json)')
    .option('--mask-env <NAME>', 'variable whose value nothing may show', collect)
    .option('--json', 'print the result as a line of JSON');
  addSettings(command, ['key', 'key-env', 'agent']);
}
