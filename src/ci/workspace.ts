import type { Environment } from './environment.ts';

/** Where a CI puts what it tests: GitHub, GitLab, Jenkins. Undefined where a person is at work. */
export function workspaceOf(env: Environment): string | undefined {
  const { GITHUB_WORKSPACE, CI_PROJECT_DIR, WORKSPACE, JENKINS_URL, BUILD_URL } = env;
  const jenkins = JENKINS_URL || BUILD_URL ? WORKSPACE : undefined;
  return GITHUB_WORKSPACE || CI_PROJECT_DIR || jenkins || undefined;
}
