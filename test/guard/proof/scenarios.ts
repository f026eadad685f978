import type { Step } from './life.ts';

/** A step of the guard's that is interrupted, what came before it, and how it all must end. */
export interface Scenario {
  name: string;
  before: readonly Step[];
  interrupted: Step;
  /** `either`: the decision itself is interrupted, so old or new, but all alike. */
  ends: 'old' | 'new' | 'either';
}

const changed: readonly Step[] = ['begin', 'apply'];
const edited: readonly Step[] = [...changed, 'job edits'];

export const scenarios: readonly Scenario[] = [
  { name: 'begin', before: [], interrupted: 'begin', ends: 'old' },
  { name: 'apply', before: ['begin'], interrupted: 'apply', ends: 'old' },
  { name: 'commit', before: edited, interrupted: 'commit', ends: 'either' },
  { name: 'rollback', before: changed, interrupted: 'rollback', ends: 'old' },
  { name: 'rollback of a conflict', before: edited, interrupted: 'rollback', ends: 'old' },
  {
    name: 'rollback of an overwrite',
    before: ['begin', 'job overwrites'],
    interrupted: 'rollback',
    ends: 'old',
  },
  { name: 'watchdog', before: [...changed, 'expire'], interrupted: 'watchdog', ends: 'old' },
  { name: 'boot recovery', before: [...changed, 'reboot'], interrupted: 'boot', ends: 'old' },
  { name: 'recover', before: [...changed, 'reboot'], interrupted: 'recover', ends: 'old' },
  {
    name: 'begin after one that expired',
    before: [...changed, 'expire'],
    interrupted: 'next begin',
    ends: 'old',
  },
];

/** How a host comes back: at once by its watchdog, or at the next boot. */
export const recoveries = {
  watchdog: ['expire', 'watchdog'],
  boot: ['reboot', 'boot'],
} as const satisfies Record<string, readonly Step[]>;
export type Recovery = keyof typeof recoveries;
