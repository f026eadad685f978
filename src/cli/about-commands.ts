import type { Command } from 'commander';
import { catalogue, exitCodes } from '../errors.ts';
import { processContext } from '../job/context.ts';
import type { Flags } from '../job/flags.ts';
import { requestFromFlags } from '../job/flags.ts';
import { loadJobs } from '../job/load.ts';
import { readChange } from '../job/overlay.ts';
import { jobJsonSchema } from '../job/schema.ts';
import { count } from '../report/words.ts';
import { answer, type Io, screenOf } from './io.ts';
import { addSettings, collect } from './options.ts';

/** The commands that touch no host and tell what there is. */
export function addAboutCommands(program: Command, io: Io, done: (exit: number) => void): void {
  const validate = program
    .command('validate')
    .description('check a job file and the files it lays, without touching a host')
    .argument('<JOB>', 'job file (YAML)')
    .option('--set <FIELD=VALUE>', 'override a field of the job by its dotted path', collect)
    .option('--json', 'print the jobs as they are understood, as a line of JSON')
    .addHelpText('after', '\nExamples:\n  savepoint validate ci/savepoint.yml\n');
  addSettings(validate);
  validate.action(async (file: string, flags: Flags & { json?: boolean }) => {
    const context = { ...processContext(), env: io.env };
    const request = requestFromFlags(flags, { job: file }, context);
    // A key that only the CI has must not keep a job file from being checked elsewhere.
    const jobs = await loadJobs({ ...request, credentials: false });
    for (const job of jobs) await readChange(job);
    if (flags.json) {
      const withoutKeys = jobs.map(({ host, ...job }) => ({
        ...job,
        host: { ...host, keyText: undefined },
      }));
      answer(io, { valid: true, jobs: withoutKeys });
    } else {
      screenOf(io, false).line(`${file}: ${count(jobs.length, 'job')}, valid.`);
    }
    done(0);
  });

  program
    .command('schema')
    .description('print the JSON Schema of job files, for editors')
    .addHelpText('after', '\nExamples:\n  savepoint schema >job.schema.json\n')
    .action(() => {
      io.stdout.write(`${JSON.stringify(jobJsonSchema(), null, 2)}\n`);
      done(0);
    });

  program
    .command('errors')
    .description('print every error there is: number, name, exit status, meaning')
    .option('--json', 'as a line of JSON')
    .addHelpText('after', '\nExamples:\n  savepoint errors\n  savepoint errors --json\n')
    .action(({ json }: { json?: boolean }) => {
      const entries = Object.entries(catalogue).map(([name, { code, class: kind, reason }]) => {
        return { code, name, class: kind, exit: exitCodes[kind], reason };
      });
      if (json) answer(io, entries);
      else for (const entry of entries) screenOf(io, false).line(row(entry));
      done(0);
    });
}

function row(entry: { code: number; name: string; class: string; exit: number; reason: string }) {
  const { code, name, class: kind, exit, reason } = entry;
  return `${code}  ${name.padEnd(24)} ${kind.padEnd(9)} exit ${String(exit).padEnd(3)} ${reason}`;
}
