import { ask, type GuardSite } from '../guard/client.ts';
import { allOf, firstOf } from '../guard/protocol.ts';
import { pathsOf } from './answers.ts';

/** What is on a host, as its guard tells it. */
export interface HostState {
  guardVersion: string;
  open?: {
    id: string;
    holder: string;
    since: string;
    /** Seconds until the host rolls back by itself. */
    leaseLeft: number;
    /** The decision, where it is made but not carried out yet. */
    decision?: string;
    track: string[];
  };
  /** Why no transaction may begin there. */
  quarantine?: string;
  past: { id: string; since: string; outcome: string; holder: string }[];
}

/** Asks the host; changes nothing there, and needs no token. */
export async function hostState(site: GuardSite): Promise<HostState> {
  const { fields } = await ask(site, 'status', []);
  const value = (key: string) => firstOf(fields, key) ?? '';
  const decision = firstOf(fields, 'decision');
  const quarantine = firstOf(fields, 'quarantine');
  return {
    guardVersion: value('guard_version'),
    ...(value('open') && {
      open: {
        id: value('open'),
        holder: value('holder'),
        since: value('since'),
        leaseLeft: Number(value('lease_left')),
        ...(decision !== undefined && { decision }),
        track: allOf(fields, 'track'),
      },
    }),
    ...(quarantine !== undefined && { quarantine }),
    past: allOf(fields, 'past').map(pastFrom),
  };
}

/** `ID SINCE OUTCOME HOLDER`; only one outcome has a blank in it. */
function pastFrom(line: string): HostState['past'][number] {
  const [, id = '', since = '', outcome = '', holder = ''] =
    /^(\S+) (\S+) (rollback-failed, cleared|\S+) ?(.*)$/.exec(line) ?? [];
  return { id, since, outcome, holder };
}

export interface Recovered {
  /** What was ended, with its outcome. */
  ended: { id: string; outcome: string }[];
  paths: { path: string; state: string }[];
  warnings: string[];
  diff: string;
}

/** Ends whatever is open on the host, alive or not: a person asked for it. */
export async function recoverHost(site: GuardSite): Promise<Recovered> {
  const { fields, body } = await ask(site, 'recover', [['reason', 'recover']]);
  return {
    ended: allOf(fields, 'ended').map((line) => {
      const [id = '', ...outcome] = line.split(' ');
      return { id, outcome: outcome.join(' ') };
    }),
    paths: pathsOf(fields),
    warnings: allOf(fields, 'warning'),
    diff: body,
  };
}

/** Lifts the quarantine of a host that a person has looked at. */
export async function clearHost(site: GuardSite): Promise<void> {
  await ask(site, 'clear', []);
}
