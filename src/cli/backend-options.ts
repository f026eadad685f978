import type { BackendOptions } from '../host/backend/open.ts';
import type { Screen } from '../report/console.ts';
import { plain } from '../report/plain.ts';
import type { Masker } from '../run/mask.ts';

/** Where what a backend says goes, without what nobody may read. */
export function backendOptions(screen: Screen, masker: Masker): BackendOptions {
  return {
    log: (line) => screen.line(plain(`backend: ${line}`)),
    mask: (text) => masker.text(text),
  };
}
