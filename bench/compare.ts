/** One side of a comparison. */
export interface Contender {
  name: string;
  /** Milliseconds of one run. */
  run(): Promise<number>;
  /** Untimed: takes away what a run left, and checks that it did what it should. */
  settle?(): Promise<void>;
}

/** How fast ours has to be where the peer is 1: the peer's time divided by ours. */
export interface Target {
  atLeast: number;
  /** As it was set, such as "at most 1.3 times the script's time". */
  words: string;
}

/** What is to be compared: ours and a peer, doing the same. */
export interface Comparison {
  task: string;
  /** Milliseconds that the link adds to every round trip. */
  roundTrip: number;
  ours: Contender;
  peer: Contender;
  target?: Target;
}

export interface Result {
  task: string;
  roundTrip: number;
  ours: string;
  peer: string;
  target?: Target;
  /** Milliseconds: ours, then the peer's, run one right after the other. */
  pairs: [ours: number, peer: number][];
}

/**
 * Runs both in turn, ours first, after one run of each that does not count. A machine that gets
 * slower or faster meanwhile does so for both, so the ratio within a pair keeps its meaning.
 */
export async function compare(comparison: Comparison, count: number): Promise<Result> {
  const { task, roundTrip, ours, peer, target } = comparison;
  const pairs: Result['pairs'] = [];
  const once = async (contender: Contender) => {
    const milliseconds = await contender.run();
    await contender.settle?.();
    return milliseconds;
  };
  for (let index = -1; index < count; index++) {
    const pair: Result['pairs'][number] = [await once(ours), await once(peer)];
    if (index >= 0) pairs.push(pair);
  }
  return { task, roundTrip, ours: ours.name, peer: peer.name, ...(target && { target }), pairs };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const below = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  const above = sorted[Math.floor(middle)] ?? Number.NaN;
  return (below + above) / 2;
}

/** The peer's time divided by ours, pair by pair: above 1, ours is faster. */
export function speeds({ pairs }: Result): number[] {
  return pairs.map(([ours, peer]) => peer / ours);
}

/** Median times of both in milliseconds, and median, lowest and highest speed of the pairs. */
export function summary(result: Result) {
  const all = speeds(result);
  const speed = median(all);
  return {
    ours: median(result.pairs.map(([ours]) => ours)),
    peer: median(result.pairs.map(([, peer]) => peer)),
    speed,
    lowest: Math.min(...all),
    highest: Math.max(...all),
    met: result.target === undefined ? undefined : speed >= result.target.atLeast,
  };
}
