// npm run conformance:record: runs the conformance suite for every host there is and writes what
// it said as docs/conformance.md. As root, for the machine that systemd-nspawn boots.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Report {
  testResults: {
    assertionResults: { ancestorTitles: string[]; title: string; status: string }[];
  }[];
}

const files = ['local', 'ssh-conformance', 'backend-conformance'];
const folder = mkdtempSync(join(tmpdir(), 'savepoint-conformance-'));
const output = join(folder, 'report.json');
const words = files.map((name) => `test/host/${name}.test.ts`);
spawnSync('vitest', ['run', ...words, '--reporter=json', `--outputFile=${output}`], {
  stdio: 'inherit',
});
const report: Report = JSON.parse(readFileSync(output, 'utf8'));
rmSync(folder, { recursive: true });

/** By test, by host: how it ended. */
const table = new Map<string, Map<string, string>>();
for (const { ancestorTitles, title, status } of report.testResults.flatMap(
  ({ assertionResults }) => assertionResults,
)) {
  const [outer = '', ...inner] = ancestorTitles.filter((name) => !name.startsWith('host of '));
  const host = outer.replace(/^(host|backend) /, '');
  const test = [...inner, title].join(': ').replaceAll('|', '\\|');
  const row = table.get(test) ?? new Map<string, string>();
  table.set(test, row.set(host, status));
}
const hosts = [...new Set([...table.values()].flatMap((row) => [...row.keys()]))];
const rows = [...table].map(([test, row]) => {
  const cells = hosts.map((host) => row.get(host) ?? '');
  return `| ${test} | ${cells.join(' | ')} |`;
});
const failed = [...table.values()].flatMap((row) => [...row.values()]).filter(isFailure);
const page = `\
# Conformance

<!-- Made by \`npm run conformance:record\`; edits here are lost. -->

What every host must do, and what each did: [the suite](../test/host/conformance.ts), and
[how to try a backend of yours](backends.md#does-mine-do-it-right). A host without a link has none that
could break, and a verb that a backend does not have is not asked for.

| | ${hosts.join(' | ')} |
| --- |${' --- |'.repeat(hosts.length)}
${rows.join('\n')}
`;
writeFileSync('docs/conformance.md', page);
console.log(`${table.size} tests, ${hosts.length} hosts, ${failed.length} failures`);
process.exitCode = failed.length > 0 ? 1 : 0;

function isFailure(status: string): boolean {
  return status !== 'passed';
}
