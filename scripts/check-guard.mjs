// The rules of guard/: released guards never change, the pin names a release by its digest, and one
// change never edits both the pin and the candidate. Compares with the commit that is given, or with
// the merge base of origin's main branch, or with the parent commit.
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

const base =
  process.argv[2] ??
  attempt('merge-base', 'HEAD', 'origin/main') ??
  attempt('rev-parse', '--verify', 'HEAD^');
const commits = base
  ? (attempt('rev-list', '--no-merges', `${base}..HEAD`) ?? '').split('\n').filter(Boolean)
  : [];
for (const commit of commits) {
  const files = git('show', '--format=', '--name-only', commit).split('\n');
  if (files.includes('guard/pin.json') && files.includes('guard/guard.sh')) {
    problems.push(
      `Commit ${commit.slice(0, 12)} edits both the pin and the candidate; promote in a change of its own.`,
    );
  }
}

for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
