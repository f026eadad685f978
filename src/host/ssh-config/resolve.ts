import { ciphers, hostKeyAlgorithms, kexAlgorithms, macs } from '../ssh-algorithms.ts';
import type { SshTarget } from '../ssh-target.ts';
import { algorithmsOf } from './algorithms.ts';
import type { AskedFor } from './asked.ts';
import { type ConfigFile, usualConfigFiles } from './files.ts';
import { hostKeySources, identitiesOf } from './places.ts';
import { badConfig, type ConfigProgram } from './problem.ts';
import { programsOf } from './programs.ts';
import { readSettings, type Settings } from './read.ts';
import { expandHostName, expandTokens, type LocalUser, localUser, type Tokens } from './tokens.ts';
import { familyOf, jumpsOf, numberOf, secondsOf, unlessNone } from './values.ts';

export interface ResolveOptions {
  /** Files to read, the first one wins; those that OpenSSH reads unless told. */
  files?: readonly ConfigFile[];
  /** Programs that the files may have run on this machine; none unless told. */
  allow?: readonly ConfigProgram[];
  local?: LocalUser;
}

interface Context {
  readonly files: readonly ConfigFile[];
  readonly allowed: ReadonlySet<ConfigProgram>;
  readonly local: LocalUser;
}

const usualPort = 22;
const usualTimeout = 10;
/** More hosts than anybody goes through; what is longer goes round in a circle. */
const mostJumps = 10;

/**
 * How a host is reached, by what was asked for and what ssh_config says: all that connecting
 * needs, so that no configuration has to be read again.
 * @throws SavepointError `ssh-config-bad`, `ssh-config-program`
 */
export async function resolveTarget(
  asked: AskedFor,
  { local = localUser(), files = usualConfigFiles(local.home), allow = [] }: ResolveOptions = {},
): Promise<SshTarget> {
  return resolve(asked, { local, files, allowed: new Set(allow) }, 'with-jumps', 0);
}

/** @param depth how many hosts there are already between the target and this one */
async function resolve(
  asked: AskedFor,
  context: Context,
  jumping: 'with-jumps' | 'directly',
  depth: number,
): Promise<SshTarget> {
  const settings = await readSettings(context.files, asked.name, context.local, (read, final) => ({
    original: asked.name,
    host: hostNameOf(read, asked),
    user: userOf(read, asked, context),
    localUser: context.local.name,
    tag: read.single.get('tag')?.words[0] ?? '',
    isFinalPass: final,
    allowed: context.allowed,
    wantFinalPass: () => undefined,
    expand: (value) => expandTokens(value, tokensOf(read, asked, context), nowhere(asked)),
  }));
  const setting = (keyword: string) => settings.single.get(keyword);
  refuseCanonicalization(settings);
  const tokens = tokensOf(settings, asked, context);
  const standing = depth === 0 ? 'own' : 'inherited';
  const alias = setting('hostkeyalias')?.words[0];
  const aliveInterval = setting('serveraliveinterval');
  const aliveCountMax = setting('serveralivecountmax');
  const timeout = unlessNone(setting('connecttimeout'));
  const family = setting('addressfamily');
  const list = (keyword: string, known: Parameters<typeof algorithmsOf>[1]) => {
    const given = setting(keyword);
    return given && algorithmsOf(given, known);
  };
  const direct: SshTarget = {
    type: 'ssh',
    name: tokens.host,
    port: tokens.port,
    user: tokens.user,
    sudo: asked.sudo ?? tokens.user !== 'root',
    ...given('alias', asked.name === tokens.host ? undefined : asked.name),
    hostKeyCheck: asked.hostKeyCheck ?? 'strict',
    connectTimeout: asked.connectTimeout ?? ((timeout && secondsOf(timeout)) || usualTimeout),
    ...identitiesOf(asked, standing, settings, tokens),
    ...hostKeySources(asked, standing, settings, tokens),
    ...programsOf(settings, tokens, context.allowed, jumping === 'with-jumps'),
    ...given('hostKeyAlias', alias),
    ...given('aliveInterval', aliveInterval && secondsOf(aliveInterval)),
    ...given('aliveCountMax', aliveCountMax && numberOf(aliveCountMax, 1000)),
    ...given('addressFamily', family && familyOf(family)),
    ...given('ciphers', list('ciphers', ciphers)),
    ...given('macs', list('macs', macs)),
    ...given('kexAlgorithms', list('kexalgorithms', kexAlgorithms)),
    ...given('hostKeyAlgorithms', list('hostkeyalgorithms', hostKeyAlgorithms)),
  };
  if (jumping === 'directly') return direct;
  return { ...direct, ...given('jumps', await jumpsTo(asked, settings, context, depth)) };
}

/**
 * The hosts that ProxyJump names, in the order in which they are gone through. As with `ssh -J`,
 * each has its own configuration; only that of the first may ask for further jumps.
 */
async function jumpsTo(
  asked: AskedFor,
  settings: Settings,
  context: Context,
  depth: number,
): Promise<SshTarget[] | undefined> {
  const setting = unlessNone(settings.single.get('proxyjump'));
  if (!setting) return undefined;
  const jumps: SshTarget[] = [];
  for (const [index, { host, user, port }] of jumpsOf(setting).entries()) {
    if (depth + jumps.length >= mostJumps) {
      throw badConfig(setting.place, `ProxyJump leads through more than ${mostJumps} hosts.`, {
        found: setting.rest,
        hint: 'Is one of them a host of the block that says so?',
      });
    }
    // What the job gives for the host is also for the way to it, where nothing else is said.
    const { name: _name, port: _port, user: _user, hostKeyCheck: _check, ...inherited } = asked;
    const hop = { ...inherited, name: host, ...given('user', user), ...given('port', port) };
    const jumping = index === 0 ? 'with-jumps' : 'directly';
    const { jumps: before = [], ...target } = await resolve(hop, context, jumping, depth + 1);
    jumps.push(...before, target);
  }
  return jumps;
}

function hostNameOf(settings: Settings, asked: AskedFor): string {
  const setting = settings.single.get('hostname');
  if (!setting) return asked.name.toLowerCase();
  return expandHostName(setting.words[0] ?? '', asked.name, setting.place).toLowerCase();
}

function userOf(settings: Settings, asked: AskedFor, { local }: Context): string {
  return asked.user ?? settings.single.get('user')?.words[0] ?? local.name;
}

function tokensOf(settings: Settings, asked: AskedFor, context: Context): Tokens {
  const port = settings.single.get('port');
  return {
    original: asked.name,
    host: hostNameOf(settings, asked),
    port: asked.port ?? (port ? numberOf(port, 65_535) : usualPort),
    user: userOf(settings, asked, context),
    keyName: settings.single.get('hostkeyalias')?.words[0] ?? asked.name,
    jumps: unlessNone(settings.single.get('proxyjump'))?.rest ?? '',
    local: context.local,
  };
}

/** Looking names up to find out which block applies would make the result depend on the network. */
function refuseCanonicalization({ single }: Settings): void {
  const setting = single.get('canonicalizehostname');
  const found = setting?.words[0]?.toLowerCase();
  if (!setting || found === 'no' || found === 'none' || found === 'false') return;
  throw badConfig(setting.place, 'CanonicalizeHostname is not supported.', {
    found: setting.rest,
    hint: 'Write the whole name with HostName.',
  });
}

function nowhere(asked: AskedFor) {
  return { file: `the configuration of ${asked.name}`, line: 0 };
}

/** A property that is there only when it has a value. */
function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { [name in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [name in Name]: Value });
}
