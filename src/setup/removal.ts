import { SavepointError } from '../errors.ts';
import type { HostFacts, UserFacts } from './facts.ts';
import { places } from './places.ts';
import { isForced } from './public-key.ts';
import { removeKeys, type Step } from './steps.ts';

/**
 * What takes everything away again; nothing where there is nothing. The sudo rules go first, and
 * then it is looked again whether somebody has begun.
 * @throws SavepointError `host-busy`, `host-quarantined`: what could mend the host must stay.
 */
export function planRemoval(host: string, facts: HostFacts, user: UserFacts | undefined): Step[] {
  const [held] = facts.unfinished;
  if (facts.quarantine !== undefined) {
    throw new SavepointError('host-quarantined', {
      message: `${host} is quarantined, and what could mend it would be removed too: ${facts.quarantine}`,
      details: { host },
      hint: 'Mend it, then `savepoint host clear`.',
    });
  }
  if (facts.open !== undefined || held) {
    throw new SavepointError('host-busy', {
      message: `Transaction ${facts.open ?? held?.id} is open on ${host}; without its guard it could not be ended.`,
      details: { host },
      hint: 'Wait for its end, or end it with `savepoint recover`.',
    });
  }
  const forced = user?.keys.filter(isForced).length ?? 0;
  return [
    ...(user && forced > 0 ? [removeKeys(user.name, forced)] : []),
    ...facts.remains.map(removePath),
  ];
}

const remove = `
case $1 in
  ${places.state} | ${places.sudoers})
    [ "$1" != ${places.sudoers} ] || rm -f "$1"
    if [ -e ${places.state}/open ]; then
      echo "a transaction was begun meanwhile: $(cat ${places.state}/open)" >&2
      exit 1
    fi ;;
esac
rm -rf "$1"
case $1 in
  *.service) [ ! -d /run/systemd/system ] || systemctl daemon-reload ;;
  ${places.gate}) rmdir "\${1%/*}" 2>/dev/null || : ;;
esac
`;

function removePath(path: string): Step {
  return {
    action: 'remove',
    what: nameOf(path),
    detail: path,
    perform: async (shell) => void (await shell.run(remove, [path])),
  };
}

function nameOf(path: string): string {
  if (path === places.sudoers) return 'sudo rules';
  if (path === places.gate) return 'gate';
  if (path === places.state) return 'guards, policy and history';
  return 'recovery at boot';
}
