import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleOptions } from '../../scripts/bundle-options.mjs';

/**
 * Bundles the small programs of this folder, which use `src/host` as the command does, in the way
 * that the command is bundled.
 * @returns the file of each, by its name
 */
export async function bundleClients(folder: string): Promise<(name: string) => string> {
  const names = ['true', 'send', 'fetch', 'send-directory', 'many'];
  await build({
    ...bundleOptions,
    entryPoints: names.map((name) => fileURLToPath(new URL(`${name}.ts`, import.meta.url))),
    outdir: folder,
  });
  return (name) => join(folder, `${name}.cjs`);
}
