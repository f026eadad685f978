/** What one package manager's configuration consists of. */
export interface Preset {
  /** For people: what it covers. */
  readonly about: string;
  /** Absolute paths: sources, keyrings, proxies and credentials. Absent ones are tracked too. */
  readonly paths: readonly string[];
  /** After a rollback: drops everything that was fetched from the change's mirrors. */
  readonly refresh?: string;
  /** After the refresh: fails unless the restored mirrors answer. */
  readonly probe?: string;
}

/**
 * A host may lack the tool of a preset it tracks; then there is no cache and nothing to ask. The
 * guard has a bare environment, at boot even one without a home.
 */
function ifThere(tool: string, script: string): string {
  return `set -eu
export HOME=/root PATH="$PATH:/usr/local/sbin:/usr/local/bin"
command -v ${tool} >/dev/null 2>&1 || exit 0
${script}`;
}

/**
 * apt-get exits with 0 when a mirror does not answer and only warns. Error-Mode (apt 2.1.8) makes
 * that an error; older ones ignore the option, so their warning is looked for as well.
 */
const aptUpdate = `\
out=$(LC_ALL=C apt-get -q -o APT::Update::Error-Mode=any update 2>&1) && status=0 || status=$?
printf '%s\\n' "$out"
case $out in *'Failed to fetch'*) exit 100 ;; esac
exit "$status"`;

const rpmPaths = [
  '/etc/yum.repos.d',
  '/etc/yum.conf',
  '/etc/yum',
  '/etc/pki/rpm-gpg',
  '/etc/pki/consumer',
  '/etc/pki/entitlement',
  '/etc/rhsm',
] as const;

export const presets = {
  apt: {
    about: 'sources, preferences, proxies, credentials and keyrings of apt',
    paths: ['/etc/apt', '/usr/share/keyrings'],
    refresh: ifThere(
      'apt-get',
      `\
apt-get clean
find /var/lib/apt/lists -mindepth 1 ! -path '*/lists/lock' ! -path '*/lists/partial' -delete
rm -f /var/cache/apt/pkgcache.bin /var/cache/apt/srcpkgcache.bin`,
    ),
    probe: ifThere('apt-get', aptUpdate),
  },
  dnf: {
    about: 'repositories, variables, proxies, keys and entitlements of dnf',
    paths: ['/etc/dnf', ...rpmPaths],
    refresh: ifThere('dnf', 'dnf -q clean all'),
    probe: ifThere('dnf', 'dnf -q makecache'),
  },
  yum: {
    about: 'repositories, variables, proxies, keys and entitlements of yum',
    paths: rpmPaths,
    refresh: ifThere(
      'yum',
      `\
yum -q clean all
if [ -d /var/cache/yum ]; then find /var/cache/yum -mindepth 1 -delete; fi`,
    ),
    probe: ifThere('yum', 'yum -q makecache'),
  },
  zypper: {
    about: 'repositories, services, credentials and proxies of zypper',
    paths: ['/etc/zypp', '/etc/SUSEConnect', '/etc/sysconfig/proxy', '/root/.curlrc'],
    refresh: ifThere('zypper', 'zypper --non-interactive --quiet clean --all'),
    probe: ifThere('zypper', 'zypper --non-interactive --quiet refresh'),
  },
  apk: {
    about: 'repositories and keys of apk; not its list of wanted packages (world)',
    paths: ['/etc/apk/config', '/etc/apk/keys', '/etc/apk/repositories', '/etc/apk/repositories.d'],
    refresh: ifThere('apk', 'rm -f /var/cache/apk/APKINDEX.* /etc/apk/cache/APKINDEX.*'),
    probe: ifThere('apk', 'apk update'),
  },
  pacman: {
    about: 'repositories, mirror lists, hooks and keyring of pacman',
    paths: ['/etc/pacman.conf', '/etc/pacman.d'],
    refresh: ifThere('pacman', 'rm -rf /var/lib/pacman/sync'),
    probe: ifThere('pacman', 'pacman -Syy --noconfirm'),
  },
  pip: {
    about: "indexes, proxies and credentials of pip, system-wide and root's",
    paths: [
      '/etc/pip.conf',
      '/etc/xdg/pip',
      '/root/.config/pip',
      '/root/.netrc',
      '/root/.pip',
      '/root/.pypirc',
    ],
    refresh: ifThere(
      'pip3',
      `\
# Before pip 20.1 there is no "cache", and no wheel of its own either that is not in this folder.
pip3 -q cache purge 2>/dev/null || rm -rf "\${XDG_CACHE_HOME:-/root/.cache}/pip"`,
    ),
    probe: ifThere(
      'pip3',
      `\
folder=$(mktemp -d)
pip3 -q --disable-pip-version-check download --no-deps -d "$folder" pip && status=0 || status=$?
rm -rf "$folder"
exit "$status"`,
    ),
  },
  npm: {
    about: "registries, proxies and credentials of npm, system-wide and root's",
    paths: ['/etc/npmrc', '/usr/etc/npmrc', '/usr/local/etc/npmrc', '/root/.npmrc'],
    refresh: ifThere('npm', 'npm --loglevel=error cache clean --force'),
    probe: ifThere('npm', 'npm --loglevel=error ping'),
  },
  docker: {
    about:
      'daemon configuration, registry mirrors, certificates, proxies and credentials of docker',
    paths: [
      '/etc/default/docker',
      '/etc/docker',
      '/etc/sysconfig/docker',
      '/etc/systemd/system/docker.service.d',
      '/root/.docker/config.json',
    ],
    refresh: ifThere(
      'systemctl',
      `\
systemctl daemon-reload
if systemctl -q is-active docker; then systemctl reload docker; fi`,
    ),
    probe: ifThere(
      'systemctl',
      'if systemctl -q is-enabled docker; then docker info >/dev/null; fi',
    ),
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as PresetName[];

export function isPresetName(name: string): name is PresetName {
  return Object.hasOwn(presets, name);
}

/** The preset of that name, with its optional parts as such. */
export function presetOf(name: PresetName): Preset {
  return presets[name];
}
