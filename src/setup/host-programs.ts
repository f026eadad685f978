import { readFileSync } from 'node:fs';

// Put in by scripts/build.mjs; sources read it from the repository.
declare const __SAVEPOINT__: { gate: string; policy: string } | undefined;

/** The program of a forced command (guard/gate.sh). */
export function gateText(): string {
  if (typeof __SAVEPOINT__ !== 'undefined') return __SAVEPOINT__.gate;
  return readFileSync(new URL('../../guard/gate.sh', import.meta.url), 'utf8');
}

/** The program that speaks for the host's policy (guard/policy.sh). */
export function policyProgram(): string {
  if (typeof __SAVEPOINT__ !== 'undefined') return __SAVEPOINT__.policy;
  return readFileSync(new URL('../../guard/policy.sh', import.meta.url), 'utf8');
}
