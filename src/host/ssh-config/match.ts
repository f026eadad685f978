import { execFile } from 'node:child_process';
import { matchesPatterns } from '../known-hosts.ts';
import { badConfig, type ConfigPlace, type ConfigProgram, refusedProgram } from './problem.ts';
import { splitCriteria } from './words.ts';

/** What the criteria of a Match line are compared with. */
export interface MatchFacts {
  /** As it was asked for. */
  readonly original: string;
  /** After HostName, as far as that has been read. */
  readonly host: string;
  readonly user: string;
  readonly localUser: string;
  /** Value of Tag, as far as that has been read. */
  readonly tag: string;
  /** The files are being read a second time because of `final`. */
  readonly isFinalPass: boolean;
  readonly allowed: ReadonlySet<ConfigProgram>;
  /** Tells that a second pass is wanted. */
  wantFinalPass(): void;
  /** Replaces tokens in the command of `exec`. */
  expand(value: string): string;
}

/**
 * Whether a Match line holds (readconf.c, `match_cfg_line`).
 * @throws SavepointError `ssh-config-bad`; `ssh-config-program` for `exec`, when all before it
 *   on the line holds
 */
export async function matches(
  line: string,
  place: ConfigPlace,
  facts: MatchFacts,
): Promise<boolean> {
  const words = splitCriteria(line);
  if (!words) throw badConfig(place, 'A quote is not closed.', { found: line });
  if (words.length === 0) throw badConfig(place, 'Match has no criterion.');
  let holds = true;
  for (let at = 0; at < words.length; at++) {
    const written = words[at] ?? '';
    const negated = written.startsWith('!');
    const criterion = (negated ? written.slice(1) : written).toLowerCase();
    if (criterion === 'all') {
      checkAlone(words, place);
      return holds && !negated;
    }
    if (criterion === 'final' || criterion === 'canonical') {
      if (criterion === 'final') facts.wantFinalPass();
      if (facts.isFinalPass === negated) holds = false;
      continue;
    }
    const value = words[++at];
    if (value === undefined) throw badConfig(place, `Match ${written} has no value.`);
    if (criterion === 'exec') {
      if (holds && (await execSucceeds(value, place, facts)) === negated) holds = false;
    } else if (compare(criterion, value, place, facts) === negated) holds = false;
  }
  return holds;
}

/** `all` stands alone, or after `final` or `canonical`. */
function checkAlone(words: readonly string[], place: ConfigPlace): void {
  const others = words.filter((word) => !/^!?(all|canonical|final)$/i.test(word));
  if (others.length > 0 || words.length > 2) {
    throw badConfig(place, 'Match all cannot be combined with other criteria.');
  }
}

function compare(criterion: string, value: string, place: ConfigPlace, facts: MatchFacts): boolean {
  const patterns = value.split(',');
  switch (criterion) {
    case 'host':
      return matchesPatterns(patterns, facts.host);
    case 'originalhost':
      return matchesPatterns(patterns, facts.original);
    case 'user':
      return matchesPatterns(patterns, facts.user, 'exact');
    case 'localuser':
      return matchesPatterns(patterns, facts.localUser, 'exact');
    case 'tagged':
      return matchesPatterns(patterns, facts.tag, 'exact');
    default:
      throw badConfig(place, `Match ${criterion} is not supported.`, {
        allowed: 'all, host, originalhost, user, localuser, tagged, final, canonical, exec',
      });
  }
}

async function execSucceeds(
  command: string,
  place: ConfigPlace,
  facts: MatchFacts,
): Promise<boolean> {
  if (!facts.allowed.has('Match exec')) throw refusedProgram(place, 'Match exec', command);
  return new Promise((resolve) => {
    execFile('/bin/sh', ['-c', facts.expand(command)], (error) => resolve(error === null));
  });
}
