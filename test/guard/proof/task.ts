import type { Shell } from '../guard.ts';
import type { FaultPlan } from './faults.ts';
import type { FileSystem } from './ground.ts';
import type { KillPlan } from './kill.ts';
import type { RacePlan } from './races.ts';
import type { Share } from './tally.ts';

/** One part of a sweep, for one worker process. */
export type Task = Place &
  (
    | { sweep: 'kill'; scenario: string; plan: KillPlan }
    | { sweep: 'power'; scenario: string; plan: Share }
    | { sweep: 'fault'; scenario: string; plan: FaultPlan }
    | { sweep: 'full disk'; scenario: string; plan: { seed: number; sample: number } }
    | { sweep: 'scale'; scenario: string }
    | { sweep: 'race'; scenario: string; plan: RacePlan }
  );

/** Where a task runs, and the guard that is tried. */
export interface Place {
  guard: string;
  shell: Shell;
  fs: FileSystem;
}
