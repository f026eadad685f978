import { readFileSync } from 'node:fs';
import { catalogue, type ErrorClass, exitCodes } from '../src/errors.ts';
import { presetNames, presetOf } from '../src/job/presets.ts';
import { jobJsonSchema } from '../src/job/schema.ts';
import { labPage } from './lab-page.ts';

/** Every file that is made from the source, with its text, by its path in the repository. */
export function generatedFiles(): Record<string, string> {
  return {
    'schema/job.schema.json': `${JSON.stringify(jobJsonSchema(), null, 2)}\n`,
    'docs/errors.md': errorsPage(),
    'docs/presets.md': presetsPage(),
    'docs/lab.md': labPage(made, recorded('lab.json')),
  };
}

/** What a run has left in docs/ for the page about it. */
function recorded(name: string) {
  return JSON.parse(readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8'));
}

const made = '<!-- Made from the source by scripts/docs.ts; edits here are lost. -->';

const classes: Record<ErrorClass, string> = {
  usage: "The person's input is wrong; nothing was touched.",
  job: "The job's own commands failed; the host is clean.",
  host: 'Unreachable, refused, busy or out of space; the host is clean.',
  recovery: 'The host could not be brought back, or is not well since; a person must look.',
  internal: 'A defect in Savepoint.',
};

function errorsPage(): string {
  const sections = (Object.keys(classes) as ErrorClass[]).map((errorClass) => {
    const rows = Object.entries(catalogue)
      .filter(([, entry]) => entry.class === errorClass)
      .map(([name, { code, reason }]) => `| ${code} | \`${name}\` | ${reason} |`);
    return `\
## ${errorClass}: exit status ${exitCodes[errorClass]}

${classes[errorClass]}

| code | name | meaning |
| --- | --- | --- |
${rows.join('\n')}
`;
  });
  return `\
# Errors

${made}

Every error has a number and a name that never change, and a class that says whose move it is and
decides the exit status. \`savepoint errors\` prints this list; with \`--json\` an error is
\`{ code, name, class, reason, details, place, hint, causes }\`.

${sections.join('\n')}`;
}

function presetsPage(): string {
  const sections = presetNames.map((name) => {
    const { about, paths, refresh, probe } = presetOf(name);
    return `\
## ${name}

${about[0]?.toUpperCase()}${about.slice(1)}.

${paths.map((path) => `- \`${path}\``).join('\n')}
${script('After a rollback, so that nothing from the change is left in a cache:', refresh)}\
${script('Then, to see that the restored configuration works:', probe)}`;
  });
  return `\
# Presets

${made}

A preset is a name for what the configuration of one package manager consists of: its sources,
keyrings, proxies and credentials. A path that is absent on a host is tracked too: if the change
creates it, a rollback removes it.

The commands run on the host as the guard's user, as a rule root, and only when \`root\` is \`/\`: they would speak to the wrong
mirrors otherwise. \`refresh\` and \`probe\` of a job replace them. A probe that fails makes the
outcome \`rolled-back-unhealthy\`.

Not covered: variables such as \`http_proxy\` in \`/etc/environment\` (track it), configuration in the
homes of users other than root (track it by path), keys that were imported into rpm's database, and
packages that a job installed.

${sections.join('\n')}`;
}

function script(about: string, text: string | undefined): string {
  return text === undefined ? '' : `\n${about}\n\n\`\`\`sh\n${text}\n\`\`\`\n`;
}
