import type { HostShell } from '../host/shell.ts';
import { plain } from '../report/plain.ts';
import type { Step } from '../setup/steps.ts';
import { answer, type Io, screenOf } from './io.ts';

const past = {
  keep: 'kept',
  install: 'installed',
  write: 'wrote',
  add: 'added',
  try: 'tried',
  remove: 'removed',
} as const satisfies Record<Step['action'], string>;

/**
 * Performs the steps in order, telling each when it is done; in a dry run only tells.
 * @throws SavepointError what a step throws; what was done before it was told.
 */
export async function tell(
  io: Io,
  shell: HostShell,
  steps: readonly Step[],
  caveats: readonly string[],
  { json, dryRun }: { json?: boolean; dryRun?: boolean },
): Promise<void> {
  const screen = screenOf(io, json);
  const done = steps.every(({ action }) => action === 'keep');
  const wouldBe = done ? 'nothing is left to do:' : 'nothing is changed, this would be done:';
  screen.line(`${shell.host.name}:${dryRun ? ` ${wouldBe}` : ''}`);
  for (const step of steps) {
    if (!dryRun) await step.perform(shell);
    const { action, what, detail } = step;
    const word = dryRun && action !== 'keep' ? action : past[action];
    screen.line(plain(`  ${word.padEnd(9)} ${what}: ${detail}`));
  }
  if (steps.length === 0) screen.line('  nothing of Savepoint is there');
  for (const caveat of caveats) screen.line(plain(`  caveat    ${caveat}`));
  if (!json) return;
  answer(io, {
    host: shell.host.name,
    dryRun: dryRun === true,
    changed: !dryRun && steps.some(({ action }) => action !== 'keep'),
    steps: steps.map(({ action, what, detail }) => ({ action, what, detail })),
    caveats,
  });
}
