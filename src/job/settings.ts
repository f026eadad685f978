/** How the text of an option or input becomes the value of a field. */
export type SettingKind =
  | 'text'
  | 'number'
  | 'boolean'
  /** A local path, relative to the working directory. */
  | 'path'
  /** Like `path`, or the lines of a known_hosts file. */
  | 'known-hosts'
  /** Like `path`, or `none`. */
  | 'ssh-config'
  /** `true`, `false`, or the path of a socket. */
  | 'agent'
  /** Several: repeated, or split at commas and line ends. */
  | 'list'
  /** Like `list`, of local paths relative to the working directory. */
  | 'paths'
  /** Several NAME=VALUE: repeated, or one a line. */
  | 'variables'
  /** `local`, `ssh://user@name:port`, `user@name`, a name, or `backend:FILE`. */
  | 'host';

/** A field of a job that can be given as `--name` on the command line or as an input. */
export interface Setting {
  readonly kind: SettingKind;
  /** Where it goes in a job. */
  readonly path: readonly string[];
  /** What stands for its value in the help text; a setting without one is a switch. */
  readonly argument?: string;
  readonly about: string;
}

function setting(kind: SettingKind, field: string, argument: string, about: string): Setting {
  return { kind, path: field.split('.'), argument, about };
}

function toggle(field: string, about: string): Setting {
  return { kind: 'boolean', path: field.split('.'), about };
}

/** One table for the options of the command and the inputs of the action. */
export const settings = {
  name: setting('text', 'name', 'NAME', 'name of the job'),
  host: setting(
    'host',
    'host',
    'HOST',
    'local (default), ssh://user@name:port, a name, or backend:FILE',
  ),
  port: setting('number', 'host.port', 'NUMBER', 'SSH port (default 22)'),
  user: setting('text', 'host.user', 'NAME', 'who logs in'),
  key: setting('path', 'host.key', 'FILE', 'private SSH key'),
  'key-env': setting('text', 'host.key-env', 'NAME', 'variable that holds the private SSH key'),
  agent: setting('agent', 'host.agent', 'SOCKET', 'SSH agent: a socket, or true for SSH_AUTH_SOCK'),
  'known-hosts': setting('known-hosts', 'host.known-hosts', 'FILE', 'known_hosts file or lines'),
  'host-key-check': setting(
    'text',
    'host.host-key-check',
    'HOW',
    'strict (default), or accept-any to check no host key',
  ),
  sudo: setting('boolean', 'host.sudo', 'BOOLEAN', 'become root by sudo -n'),
  'connect-timeout': setting('text', 'host.connect-timeout', 'TIME', 'limit for connecting'),
  'ssh-config': setting(
    'ssh-config',
    'host.ssh-config',
    'FILE',
    'ssh_config to read instead of the usual ones, or none',
  ),
  root: setting('text', 'root', 'DIR', 'directory on the host that tracked paths are below'),
  scratch: setting('path', 'scratch', 'DIR', 'throw-away root, filled from this directory'),
  track: setting('list', 'track', 'WHAT', 'what to protect: presets and absolute paths'),
  files: setting('path', 'files', 'DIR', 'directory laid over the tracked paths'),
  remove: setting('list', 'remove', 'PATH', 'tracked path that the change removes'),
  attachments: setting('paths', 'attachments', 'PATH', 'file or directory placed on the host'),
  artifacts: setting('list', 'artifacts', 'PATH', 'file or directory of the host to fetch'),
  'artifacts-max-size': setting(
    'text',
    'artifacts-max-size',
    'SIZE',
    'most that may be fetched (default 1G)',
  ),
  'artifacts-max-entries': setting(
    'number',
    'artifacts-max-entries',
    'NUMBER',
    'most entries that may be fetched (default 100000)',
  ),
  check: setting('text', 'check', 'COMMAND', 'must succeed before any phase runs'),
  'on-success': setting('text', 'on-success', 'WHAT', 'commit (default) or rollback'),
  'on-conflict': setting('text', 'on-conflict', 'WHAT', 'backup (default) or keep'),
  degraded: toggle('degraded', 'accept tools on the host that lose metadata'),
  lease: setting('text', 'lease', 'TIME', 'wait for a sign of life (default 120s)'),
  renew: setting('text', 'renew', 'TIME', 'time between signs of life (default 15s)'),
  deadline: setting('text', 'deadline', 'TIME', 'roll back after this in any case (default 6h)'),
  'lock-timeout': setting('text', 'lock-timeout', 'TIME', 'wait for a busy host (default 0s)'),
  refresh: setting('text', 'refresh', 'COMMAND', 'run on the host after a rollback'),
  probe: setting('text', 'probe', 'COMMAND', 'must succeed on the host after a rollback'),
  env: setting('variables', 'env', 'NAME=VALUE', 'variable for every phase'),
  timeout: setting('text', 'phases.test.timeout', 'TIME', 'limit for the test phase'),
  reboot: setting(
    'text',
    'phases.test.reboot',
    'TIME',
    'the test phase may restart the host, which is then away for so long',
  ),
  expect: setting('text', 'expect', 'OUTCOME', 'the outcome the job must end with'),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;

export const settingNames = Object.keys(settings) as SettingName[];

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}

/** The setting of that name, with its optional parts as such. */
export function settingOf(name: SettingName): Setting {
  return settings[name];
}
