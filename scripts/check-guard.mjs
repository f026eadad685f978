// The rules of guard/: released guards never change, the pin names a release by its digest, and one
// change never edits both the pin and the candidate. Compares with the commit that is given (the base
// of a pull request), else with the parent of the last commit.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

const git = (...args) =>
  execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
const attempt = (...args) => {
  try {
    return git(...args);
  } catch {
    return undefined;
  }
};
const problems = [];

const pin = JSON.parse(readFileSync('guard/pin.json', 'utf8'));
const release = `guard/releases/${pin.version}/guard.sh`;
const digest = existsSync(release)
  ? createHash('sha256').update(readFileSync(release)).digest('hex')
  : 'none';
if (digest !== pin.sha256) {
  problems.push(`guard/pin.json pins ${pin.version} as ${pin.sha256}; ${release} has ${digest}.`);
}

// Append-only over the whole history, not only against one base.
const changed = attempt(
  'log',
  '--format=',
  '--name-status',
  '--no-renames',
  '--diff-filter=MDT',
  '--',
  'guard/releases',
);
for (const line of new Set((changed ?? '').split('\n').filter(Boolean))) {
  problems.push(`A released guard was changed or removed: ${line.replace('\t', ' ')}.`);
}
const uncommitted = attempt('status', '--porcelain', '--', 'guard/releases') ?? '';
for (const line of uncommitted.split('\n').filter((each) => /^( ?[MDRT])/.test(each))) {
  problems.push(`A released guard differs from what is committed: ${line.trim()}.`);
}

// With a base, all that came since it is one change; without, the last commit is, and what is not committed.
const base = process.argv[2] || 'HEAD^';
const changedFiles = new Set([
  ...(attempt('diff', '--name-only', `${base}...HEAD`) ?? '').split('\n'),
  ...(attempt('diff', '--name-only', 'HEAD', '--', 'guard') ?? '').split('\n'),
]);
if (changedFiles.has('guard/pin.json') && changedFiles.has('guard/guard.sh')) {
  problems.push(
    `What changed since ${base} edits both guard/pin.json and guard/guard.sh; move the pin in a change of its own.`,
  );
}

for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
