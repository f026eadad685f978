/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What is ours alone: no command of a job may see it, or speak to the runner through it. */
const ours =
  /^(INPUT_.*|STATE_.*|ACTIONS_.*|GITHUB_(STATE|OUTPUT|ENV|PATH|STEP_SUMMARY)|SAVEPOINT_KEY_PASSPHRASE)$/i;

/** A copy of the environment; what is left in the given one is what commands may inherit. */
export function takeEnvironment(env: NodeJS.ProcessEnv): Environment {
  const all = { ...env };
  for (const name of Object.keys(all)) if (ours.test(name)) delete env[name];
  return all;
}
