import type { Environment } from '../ci/environment.ts';
import type { GitHub } from '../ci/github.ts';

/** What no log, event or result may show: the key, its passphrase, and each line of `mask`. */
export function secretsOf({ inputs }: GitHub, env: Environment, key?: string): string[] {
  const listed = (inputs.mask ?? '').split(/\r?\n/);
  const all = [key ?? '', env.SAVEPOINT_KEY_PASSPHRASE ?? '', ...listed];
  return all.filter((secret) => secret.trim() !== '');
}
