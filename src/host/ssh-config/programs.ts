import type { SshTarget } from '../ssh-target.ts';
import { badConfig, type ConfigProgram, refusedProgram } from './problem.ts';
import type { Settings } from './read.ts';
import { expandTokens, type Tokens } from './tokens.ts';
import { unlessNone, yesOrNo } from './values.ts';

type Programs = Pick<SshTarget, 'proxyCommand' | 'knownHostsCommand' | 'localCommand'>;

/**
 * The programs that the configuration wants to have run on this machine for a host.
 * @param usesProxy false for a host that is reached through another one anyhow
 * @throws SavepointError `ssh-config-program` for one that is not allowed
 */
export function programsOf(
  { single }: Settings,
  tokens: Tokens,
  allowed: ReadonlySet<ConfigProgram>,
  usesProxy: boolean,
): Programs {
  const programs: Programs = {};
  const take = (program: ConfigProgram, keyword: string): string | undefined => {
    const setting = unlessNone(single.get(keyword));
    if (!setting) return undefined;
    if (!allowed.has(program)) throw refusedProgram(setting.place, program, setting.rest);
    if (program === 'KnownHostsCommand' && /%[fKtHI]/.test(setting.rest)) {
      throw badConfig(setting.place, 'This token is not supported in KnownHostsCommand.', {
        found: setting.rest,
      });
    }
    return expandTokens(setting.rest, tokens, setting.place);
  };
  const proxy = usesProxy ? take('ProxyCommand', 'proxycommand') : undefined;
  if (proxy !== undefined) programs.proxyCommand = proxy;
  const known = take('KnownHostsCommand', 'knownhostscommand');
  if (known !== undefined) programs.knownHostsCommand = known;
  // OpenSSH passes over LocalCommand unless it is permitted.
  const permitted = single.get('permitlocalcommand');
  const local = permitted && yesOrNo(permitted) ? take('LocalCommand', 'localcommand') : undefined;
  if (local !== undefined) programs.localCommand = local;
  return programs;
}
