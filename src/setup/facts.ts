import { allOf, type Fields, firstOf } from '../guard/protocol.ts';
import { guardsInSudoList } from '../guard/refusal.ts';
import type { HostShell } from '../host/shell.ts';
import { places } from './places.ts';
import { otherRules, parseSudoers, type SudoRules } from './sudo-rules.ts';

/** What is on a host of all that makes it pin its guard, as the host's own files tell. */
export interface HostFacts {
  /** Installed guards: the digest that names the folder, and that of the bytes in it. */
  guards: { sha256: string; actual: string }[];
  /** Text of the sudoers file. */
  sudoers: string;
  rules?: SudoRules;
  /** Text of the policy; empty when there is none. */
  policy: string;
  /** SHA-256 of the gate's bytes. */
  gate?: string;
  boot: {
    /** What starts recovery at boot: a unit, an init script, a line of cron. */
    starts: string[];
    /** Digest of the guard that is started. */
    guard?: string;
  };
  open?: string;
  quarantine?: string;
  /** Transactions that have not come to their end, and the digests of their guards. */
  unfinished: { id: string; guard: string }[];
  /** Anything of ours that a removal has to take away. */
  remains: string[];
  tools: { sudo: boolean; visudo: boolean };
}

/** What is known on a host of the user that its CI logs in as. */
export interface UserFacts {
  name: string;
  uid: number;
  groups: string[];
  /** Digests of the guards that sudo lets it run: rules that sudo does not read are not among them. */
  guards: string[];
  /** What else it may run as somebody else, in sudo's words. */
  otherRules: string[];
  /** Lines of ~/.ssh/authorized_keys. */
  keys: string[];
}

const inspect = `
state=${places.state}
lines() { [ ! -f "$2" ] || sed "s/^/$1 /" "$2"; }
there() { [ ! -e "$1" ] && [ ! -L "$1" ] || echo "remains $1"; }
for file in "$state"/guard/*/guard; do
  [ -f "$file" ] || continue
  sum=$(sha256sum <"$file") name=\${file%/guard}
  echo "guard \${name##*/} \${sum%% *}"
done
lines sudoers ${places.sudoers}
lines policy ${places.policy}
[ ! -f ${places.gate} ] || { sum=$(sha256sum <${places.gate}); echo "gate \${sum%% *}"; }
lines boot_script "$state/boot"
for file in /etc/systemd/system/sysinit.target.wants/savepoint-recover.service /etc/local.d/savepoint.start \\
  /etc/cron.d/savepoint; do
  [ ! -e "$file" ] || echo "boot $file"
done
lines open "$state/open"
lines quarantine "$state/quarantine"
for tx in "$state"/tx/*; do
  [ -d "$tx" ] || continue
  case $(cat "$tx/outcome" 2>/dev/null) in
    '' | rollback-failed) echo "unfinished \${tx##*/} $(cat "$tx/guard" 2>/dev/null)" ;;
  esac
done
for file in ${places.sudoers} ${places.gate} /etc/systemd/system/savepoint-recover.service \\
  /etc/systemd/system/sysinit.target.wants/savepoint-recover.service /etc/local.d/savepoint.start \\
  /etc/cron.d/savepoint "$state"; do
  there "$file"
done
for tool in sudo visudo; do ! command -v $tool >/dev/null || echo "tool $tool"; done
`;

export async function hostFacts(shell: HostShell): Promise<HostFacts> {
  const fields = fieldsOf(await shell.run(inspect));
  const text = (key: string) =>
    allOf(fields, key)
      .map((line) => `${line}\n`)
      .join('');
  const optional = (key: string) => firstOf(fields, key);
  const sudoers = text('sudoers');
  const rules = parseSudoers(sudoers);
  const gate = optional('gate');
  const open = optional('open');
  const quarantine = optional('quarantine');
  const guard = /\/guard\/([0-9a-f]{64})\/guard /.exec(text('boot_script'))?.[1];
  const tools = allOf(fields, 'tool');
  return {
    guards: allOf(fields, 'guard').map((line) => {
      const [sha256 = '', actual = ''] = line.split(' ');
      return { sha256, actual };
    }),
    sudoers,
    ...(rules && { rules }),
    policy: text('policy'),
    ...(gate && { gate }),
    boot: { starts: allOf(fields, 'boot'), ...(guard && { guard }) },
    ...(open && { open }),
    ...(quarantine && { quarantine }),
    unfinished: allOf(fields, 'unfinished').map((line) => {
      const [id = '', by = ''] = line.split(' ');
      return { id, guard: by };
    }),
    remains: allOf(fields, 'remains'),
    tools: { sudo: tools.includes('sudo'), visudo: tools.includes('visudo') },
  };
}

// The user's own files are read as the user: a link in a home must not make root read for it.
const inspectUser = `
id -u "$1" >/dev/null 2>&1 || exit 0
echo "uid $(id -u "$1")"
echo "groups $(id -Gn "$1")"
! command -v sudo >/dev/null || sudo -n -l -U "$1" 2>&1 | sed 's/^/rule /'
su -s /bin/sh "$1" -c 'cat "$HOME/.ssh/authorized_keys"' 2>/dev/null </dev/null | sed 's/^/key /'
`;

/** What is known of a user; undefined when the host has none of this name. */
export async function userFacts(shell: HostShell, name: string): Promise<UserFacts | undefined> {
  const fields = fieldsOf(await shell.run(inspectUser, [name]));
  const uid = firstOf(fields, 'uid');
  if (uid === undefined) return undefined;
  const list = allOf(fields, 'rule').join('\n');
  return {
    name,
    uid: Number(uid),
    groups: (firstOf(fields, 'groups') ?? '').split(' '),
    guards: [...new Set(guardsInSudoList(list).map(({ sha256 }) => sha256))],
    otherRules: otherRules(list),
    keys: allOf(fields, 'key'),
  };
}

function fieldsOf(text: string): Fields {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const space = line.indexOf(' ');
      return [line.slice(0, space), line.slice(space + 1)] as const;
    });
}
