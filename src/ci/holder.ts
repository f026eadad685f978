import { hostname, userInfo } from 'node:os';
import type { Environment } from './environment.ts';

/** Who asks for a host, in one line, for those who find it taken: the CI's run, or the person. */
export function holderOf(job: string, env: Environment): string {
  const run = runUrl(env);
  const who = `${userInfo().username}@${hostname()}, process ${process.pid}`;
  return run ? `${job} (${run})` : `${job} (${who})`;
}

/** Address of the run: GitHub, GitLab, Jenkins, Zuul, in that order. */
function runUrl(env: Environment): string | undefined {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: id } = env;
  if (server && repository && id) return `${server}/${repository}/actions/runs/${id}`;
  return env.CI_JOB_URL || env.BUILD_URL || env.ZUUL_BUILD || undefined;
}
