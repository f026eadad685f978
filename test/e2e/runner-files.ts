import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StepResult } from './steps.ts';

/** The files through which a step talks to the runner. */
export class FileCommands {
  readonly variables: Record<string, string> = {};

  constructor(temp: string) {
    const folder = mkdtempSync(join(temp, '_runner_file_commands_'));
    for (const kind of ['ENV', 'OUTPUT', 'STATE', 'STEP_SUMMARY', 'PATH']) {
      const file = join(folder, kind.toLowerCase());
      writeFileSync(file, '');
      this.variables[`GITHUB_${kind}`] = file;
    }
  }

  read(): Pick<StepResult, 'outputs' | 'state' | 'summary' | 'env'> {
    const text = (kind: string) => readFileSync(this.variables[`GITHUB_${kind}`] ?? '', 'utf8');
    const summary = text('STEP_SUMMARY');
    return {
      outputs: keyValues(text('OUTPUT')),
      state: keyValues(text('STATE')),
      env: keyValues(text('ENV')),
      // Beyond 1 MiB the runner drops it whole.
      summary: Buffer.byteLength(summary) > 1024 * 1024 ? '' : summary,
    };
  }
}

/** `name=value` and `name<<delimiter` blocks; the last of a name counts (runner: FileCommandManager.cs). */
function keyValues(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  const lines = text.split('\n');
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const block = /^([^=<]+)<<(.+)$/.exec(line);
    if (block?.[1] && block[2]) {
      const end = lines.indexOf(block[2]);
      if (end < 0) throw new Error(`Matching delimiter not found '${block[2]}'`);
      values[block[1]] = lines
        .splice(0, end + 1)
        .slice(0, -1)
        .join('\n');
    } else if (line.includes('=')) {
      values[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1);
    }
  }
  return values;
}
