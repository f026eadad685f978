import { type Environment, takeEnvironment } from '../ci/environment.ts';
import { type GitHub, githubActions } from '../ci/github.ts';
import { titleOf } from '../ci/github-report.ts';
import { ignoreClosedOutput } from '../ci/terminal.ts';
import { asSavepointError, describe } from '../errors.ts';
import { plainLines } from '../report/plain.ts';
import { errorRecord } from '../run/error-record.ts';

/**
 * Runs one stage of the action in this process and sets its exit status. What the stage throws
 * becomes the step's error.
 */
export async function runStage(
  stage: (github: GitHub, env: Environment) => Promise<number>,
): Promise<void> {
  ignoreClosedOutput([process.stdout, process.stderr]);
  const env = takeEnvironment(process.env);
  const github = githubActions(env, (text) => void process.stdout.write(text));
  try {
    process.exitCode = await stage(github, env);
  } catch (thrown) {
    const error = asSavepointError(thrown);
    for (const line of plainLines(describe(error))) github.log.line(line);
    const { place, details } = error;
    const where = place?.field ? `${place.field}: ` : '';
    const allowed = details.allowed === undefined ? '' : ` Allowed: ${details.allowed}.`;
    github.log.command('error', `${where}${error.reason}${allowed}`, {
      title: titleOf(errorRecord(error)),
    });
    process.exitCode = error.exitCode;
  }
  github.log.close();
}
