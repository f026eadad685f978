import { SavepointError, sentenceOf } from '../errors.ts';
import { ask, type GuardSite } from '../guard/client.ts';
import { allOf, firstOf } from '../guard/protocol.ts';
import type { HostShell } from '../host/shell.ts';
import { type Abilities, abilitiesOf } from './abilities.ts';
import { Life, type Rehearsed, rehearsed } from './life.ts';
import { differences, type Manifest, manifestOf, mixed } from './manifest.ts';
import { buildWorld } from './world.ts';

/** One thing that has to hold. */
export interface Check {
  what: string;
  held: boolean;
  /** What was seen instead, or how often it was tried. */
  detail: string;
}

/** What a rehearsal works with. */
interface Stage {
  shell: HostShell;
  site: GuardSite;
  can: Abilities;
  degraded: boolean;
  /** The tree as it was, and with the change. */
  old: Manifest;
  changed?: Manifest;
}

/**
 * Rehearses a guard below a scratch root of a host: whole transactions first, then one after the
 * other is killed at some moments and recovered. Never throws because of what the guard does.
 * @param points how many moments of each verb.
 */
export async function* rehearse(
  shell: HostShell,
  site: GuardSite,
  points: number,
): AsyncGenerator<Check | Abilities, void, void> {
  const can = await abilitiesOf(shell, site.root);
  yield can;
  await buildWorld(shell, site.root, can);
  const stage: Stage = {
    shell,
    site,
    can,
    degraded: false,
    old: await manifestOf(shell, site.root),
  };
  yield* tools(stage);
  yield await attempt('a transaction that is rolled back leaves everything as it was', () =>
    rolledBack(stage),
  );
  yield await attempt('a transaction that is committed leaves the change and nothing else', () =>
    committed(stage),
  );
  if (stage.changed === undefined) return;
  for (const verb of rehearsed) {
    yield await attempt(`${verb}, killed: all old or all new, and recovered`, () =>
      killedAt(stage, verb, points),
    );
  }
}

/** A host whose tools lose metadata is refused unless it is asked to lose it. */
async function* tools(stage: Stage): AsyncGenerator<Check> {
  if (stage.can.gnu) return;
  const life = new Life(stage.site, false);
  const what = 'tools that lose metadata are refused unless that is asked for';
  try {
    await life.run('begin');
    await life.run('rollback');
    yield { what, held: false, detail: 'begin was not refused' };
  } catch (error) {
    const name = error instanceof SavepointError ? error.name : '';
    yield { what, held: name === 'host-degraded', detail: sentenceOf(error) };
  }
  stage.degraded = true;
}

async function rolledBack(stage: Stage): Promise<string[]> {
  const life = new Life(stage.site, stage.degraded);
  await life.runUpTo('rollback');
  const answer = await life.run('rollback');
  return [
    ...expectOutcome(firstOf(answer.fields, 'outcome'), 'rolled-back'),
    ...(await asBefore(stage)),
    ...(await nothingLeft(stage)),
  ];
}

async function committed(stage: Stage): Promise<string[]> {
  const life = new Life(stage.site, stage.degraded);
  await life.runUpTo('commit');
  const changed = await manifestOf(stage.shell, stage.site.root);
  const answer = await life.run('commit');
  const after = await manifestOf(stage.shell, stage.site.root);
  stage.changed = changed;
  const same = differences(stage.old, changed).length === 0;
  const problems = [
    ...(same ? ['the change changed nothing'] : []),
    ...expectOutcome(firstOf(answer.fields, 'outcome'), 'committed'),
    ...differences(changed, after),
    ...(await nothingLeft(stage)),
  ];
  await buildWorld(stage.shell, stage.site.root, stage.can);
  return problems;
}

async function killedAt(stage: Stage, verb: Rehearsed, points: number): Promise<Outcome> {
  const whole = await durationOf(stage, verb);
  for (let point = 0; point < points; point++) {
    // A host has busy moments: a kill that came too late is tried again, sooner.
    let after = Math.round((whole * (point + 0.5)) / points);
    for (let hit = false; !hit; after = Math.floor(after / 2)) {
      if (after === 0) return { problems: ['it ends before it can be killed'], note: '' };
      const [problems, wasHit] = await killedOnce(stage, verb, after);
      hit = wasHit;
      if (problems.length > 0) {
        return { problems: problems.map((text) => `after ${after} ms: ${text}`), note: '' };
      }
    }
  }
  return { problems: [], note: points === 1 ? '1 kill, at work' : `${points} kills, each at work` };
}

/** One life that is killed so many milliseconds after a verb began: what does not hold, and whether it hit. */
async function killedOnce(
  stage: Stage,
  verb: Rehearsed,
  after: number,
): Promise<[problems: string[], hit: boolean]> {
  const life = new Life(stage.site, stage.degraded);
  await life.runUpTo(verb);
  const [hit, between] = await killAndLook(stage, life, verb, after);
  await ask(stage.site, 'recover', []);
  const outcome = await life.outcome(stage.shell);
  const ended = await whollyEnded(stage, verb, outcome);
  if (outcome === 'committed') await buildWorld(stage.shell, stage.site.root, stage.can);
  return [[...between, ...ended], hit];
}

/** What a verb that was killed leaves, before anything can repair it: taking it all in is not atomic. */
async function killAndLook(
  stage: Stage,
  life: Life,
  verb: Rehearsed,
  after: number,
): Promise<[hit: boolean, problems: string[]]> {
  try {
    return [await life.runAndKill(stage.shell, verb, after), await neverMixed(stage)];
  } finally {
    await life.resumeWatchdog(stage.shell);
  }
}

/** Milliseconds that a verb takes on the host; leaves everything as it was. */
async function durationOf({ shell, site, can, degraded }: Stage, verb: Rehearsed): Promise<number> {
  const life = new Life(site, degraded);
  await life.runUpTo(verb);
  const whole = await life.measure(shell, verb);
  await ask(site, 'recover', []);
  if (verb === 'commit') await buildWorld(shell, site.root, can);
  return whole;
}

async function neverMixed({ shell, site, old, changed }: Stage): Promise<string[]> {
  return mixed(old, changed ?? old, await manifestOf(shell, site.root));
}

/** All of it old, or after a commit all of it new. */
async function whollyEnded(stage: Stage, verb: Rehearsed, outcome: string): Promise<string[]> {
  if (verb === 'commit' && outcome === 'committed') {
    const { shell, site, changed } = stage;
    const now = await manifestOf(shell, site.root);
    const ended = changed ? mixed(changed, changed, now) : [];
    return [...ended, ...(await nothingLeft(stage))];
  }
  // A begin that was killed before it was armed leaves no record at all. What an apply had done when
  // it was killed may be taken for somebody else's edit: that is undone all the same.
  const may: Partial<Record<Rehearsed, string>> = { begin: '', apply: 'conflict' };
  const wanted = outcome === may[verb] ? [] : expectOutcome(outcome, 'rolled-back');
  return [...wanted, ...(await asBefore(stage)), ...(await nothingLeft(stage))];
}

async function asBefore({ shell, site, old, degraded }: Stage): Promise<string[]> {
  const found = differences(old, await manifestOf(shell, site.root));
  // What busybox's tools lose is said in the guard's own warning.
  return degraded ? found.filter((text) => !/: (time|links) is |attributes/.test(text)) : found;
}

const left = `
cd "$1"
find . -name '.savepoint.*' | head -n 3
for name in open quarantine; do [ ! -e "var/lib/savepoint/$name" ] || echo "the mark $name"; done
`;

async function nothingLeft({ shell, site }: Stage): Promise<string[]> {
  const found = (await shell.run(left, [site.root])).split('\n').slice(0, -1);
  const status = await ask(site, 'status', []);
  const open = allOf(status.fields, 'open').map((id) => `transaction ${id}`);
  return [...found, ...open].map((text) => `${text} is left`);
}

function expectOutcome(outcome: string | undefined, wanted: string): string[] {
  return outcome === wanted ? [] : [`the outcome is '${outcome ?? ''}', not ${wanted}`];
}

/** What does not hold; a note for when all of it does. */
interface Outcome {
  problems: string[];
  note: string;
}

async function attempt(what: string, act: () => Promise<string[] | Outcome>): Promise<Check> {
  try {
    const result = await act();
    const { problems, note } = Array.isArray(result) ? { problems: result, note: '' } : result;
    const held = problems.length === 0;
    return { what, held, detail: held ? note : problems.slice(0, 3).join('; ') };
  } catch (error) {
    const name = error instanceof SavepointError ? ` (${error.name})` : '';
    return { what, held: false, detail: `${sentenceOf(error)}${name}` };
  }
}
