import { SavepointError, sentenceOf } from '../errors.ts';
import type { Guard } from '../guard/releases.ts';
import type { HostShell } from '../host/shell.ts';
import type { HostTarget } from '../host/target.ts';
import type { Job } from '../job/job.ts';
import { presets } from '../job/presets.ts';
import { keepLease } from '../transaction/keeper.ts';
import { prepare } from '../transaction/prepare.ts';
import { attach } from '../transaction/transaction.ts';
import type { Check } from './rehearse.ts';

/** A transaction of the pinned guard over the host's own package configuration meanwhile. */
export interface Protection {
  /** For people: what is protected, or why nothing is. */
  readonly about: string;
  /** Rolls it back: nothing may have changed. Without a transaction there is nothing to check. */
  end(): Promise<Check | undefined>;
}

/** A host without protection, with the reason. */
export function unprotected(why: string): Protection {
  return { about: `nothing of the host itself: ${why}`, end: async () => undefined };
}

/**
 * Begins a transaction of the pinned guard, so that a guard that does not keep to its scratch root
 * does no lasting harm.
 * @throws SavepointError what `begin` throws: on a host that is in use nothing is rehearsed.
 */
export async function protect(
  shell: HostShell,
  pinned: Guard,
  { job, target }: { job: Job; target: HostTarget },
  holder: string,
): Promise<Protection> {
  const candidates = [...presets.apt.paths, ...presets.dnf.paths];
  const there = await shell.run('for path; do [ ! -e "$path" ] || echo "$path"; done', candidates);
  const track = there.split('\n').slice(0, -1);
  if (track.length === 0) return unprotected('it has no configuration of apt or dnf');
  const asked: Job = {
    ...job,
    root: '/',
    track: track.map((path) => ({ path })),
    refresh: [],
    probe: [],
    onConflict: 'backup',
    degraded: true,
  };
  const record = prepare(asked, target, pinned, holder);
  const transaction = attach(record, shell.host);
  await transaction.begin();
  const lease = keepLease(transaction, () => undefined);
  const what = `the host's own ${track.join(', ')} stay as they are`;
  return {
    about: `${track.join(', ')}, by guard ${pinned.version}`,
    end: async () => {
      lease[Symbol.dispose]();
      try {
        const { outcome, paths } = await transaction.rollback('guard check');
        const touched = paths.map(({ state, path }) => `${path} (${state})`);
        return {
          what,
          held: outcome === 'rolled-back' && touched.length === 0,
          detail: [outcome, ...touched].join(', '),
        };
      } catch (error) {
        const name = error instanceof SavepointError ? ` (${error.name})` : '';
        return { what, held: false, detail: `${sentenceOf(error)}${name}` };
      }
    },
  };
}
