/** What a run of the proof found, as `npm run proof` keeps it in docs/proof.json. */
export interface ProofRecord {
  /** ISO 8601, UTC. */
  date: string;
  command: string;
  /** SHA-256 of the guard it was run on. */
  guard: string;
  /** Nothing of its plan was left out (test/guard/proof/plan.ts), nor a mutant. */
  whole: boolean;
  points: number;
  /** Lives of a guard that were led to an end. */
  lives: number;
  violations: number;
  /** Tried; noticed by the proof; not to be noticed, each with its reason. */
  mutants: { tried: number; caught: number; reasoned: number };
}

/** Reads a record; undefined for anything else. */
export function parseProofRecord(text: string): ProofRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return isRecord(value) ? value : undefined;
}

/** Why a guard is not proved by a record, a sentence each; nothing when it is. */
export function shortcomings(record: ProofRecord, guard: string): string[] {
  const { tried, caught, reasoned } = record.mutants;
  const missed = tried - caught - reasoned;
  return [
    ...(record.guard === guard ? [] : [`it was run on another guard, ${record.guard}`]),
    ...(record.whole ? [] : ['only a part of it was run']),
    ...(record.points > 0 ? [] : ['it tried no point']),
    ...(record.violations === 0 ? [] : [`it found ${record.violations} violations`]),
    ...(tried > 0 ? [] : ['it tried no mutant']),
    ...(missed > 0 ? [`${missed} mutants were not noticed`] : []),
  ];
}

function isRecord(value: unknown): value is ProofRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { date, command, guard, whole, points, lives, violations, mutants } =
    value as Partial<ProofRecord>;
  const numbers = [points, lives, violations, mutants?.tried, mutants?.caught, mutants?.reasoned];
  return (
    [date, command].every((text) => typeof text === 'string') &&
    typeof whole === 'boolean' &&
    /^[0-9a-f]{64}$/.test(String(guard)) &&
    numbers.every((number) => Number.isInteger(number) && Number(number) >= 0)
  );
}
