/** One thing that does not hold, with all that is needed to look at it. */
export interface Violation {
  /** The case in words: scenario, point, how it was recovered. */
  where: string;
  problems: string[];
  /** The calls before the point, as the tracer logged them. */
  trace: string[];
}

/** What one part of a sweep found. */
export interface Tally {
  /** Points there are, in the steps this part looked at. */
  all: number;
  /** Points at which the tree was stopped, or a fault was injected. */
  points: number;
  /** Lives that were led to an end. */
  runs: number;
  violations: Violation[];
  /** Anything else to be shown, by name: medians, winners. */
  notes: Record<string, number>;
}

export function emptyTally(): Tally {
  return { all: 0, points: 0, runs: 0, violations: [], notes: {} };
}

/** Adds the second to the first. */
export function addTally(sum: Tally, part: Tally): void {
  sum.all += part.all;
  sum.points += part.points;
  sum.runs += part.runs;
  sum.violations.push(...part.violations);
  for (const [key, n] of Object.entries(part.notes)) sum.notes[key] = (sum.notes[key] ?? 0) + n;
}

/** A small generator of its own (mulberry32), so that a seed gives the same sample everywhere. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Which points of a step a part of a sweep takes. */
export interface Share {
  part: number;
  parts: number;
  seed: number;
  /** So many by lot instead of all. */
  sample?: number;
  /** Of the calls on the guard's own scratch files, which every run begins anew, one in so many. */
  thin: number;
  /** Of the calls on the hundreds of empty files of the reserve, made and removed alike; 40 unless given. */
  ofReserve?: number;
  /** One violation is enough: for mutants. */
  stopAtFirst?: boolean;
  /** Only calls of the program of this name: for mutants that nothing else can tell from the guard. */
  program?: string;
}

const scratch = /\/tx\/[^/]+\/(work|new\.\d+)(\/|$)/;

const reserve = /\/tx\/[^/]+\/reserve\//;

/** Chooses from the tracer's log of an undisturbed run, one call a line. */
export function pointsOf(log: string, share: Share): number[] {
  let scratched = 0;
  let reserved = 0;
  const all = log.split('\n').filter((line) => {
    if (line === '') return false;
    const [, , program, , ...paths] = line.split('\t');
    if (share.program !== undefined && program !== share.program) return false;
    if (paths.every((path) => reserve.test(path)))
      return reserved++ % (share.ofReserve ?? 40) === 0;
    return !paths.every((path) => scratch.test(path)) || scratched++ % share.thin === 0;
  });
  const own = all
    .filter((_, index) => index % share.parts === share.part)
    .map((line) => Number.parseInt(line, 10));
  const roll = random(share.seed + all.length);
  // Looking for one violation: the telling points lie close together, so they are met sooner.
  if (share.stopAtFirst) return shuffled(own, roll).slice(0, share.sample);
  if (share.sample === undefined || own.length <= share.sample) return own;
  const drawn = new Set<number>();
  while (drawn.size < share.sample) drawn.add(own[Math.floor(roll() * own.length)] ?? 1);
  return [...drawn].sort((a, b) => a - b);
}

function shuffled(list: readonly number[], roll: () => number): number[] {
  return list
    .map((item) => ({ item, rank: roll() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
