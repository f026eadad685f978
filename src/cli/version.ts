import { readFileSync } from 'node:fs';

// Put in by scripts/build.mjs; sources read package.json.
declare const __SAVEPOINT__: { version: string } | undefined;

export function version(): string {
  if (typeof __SAVEPOINT__ !== 'undefined') return __SAVEPOINT__.version;
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
