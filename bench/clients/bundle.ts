import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * Bundles the small programs of this folder, which use `src/host` as the command does, in the way
 * that the command is bundled.
 * @returns the file of each, by its name
 */
export async function bundleClients(folder: string): Promise<(name: string) => string> {
  const names = ['true', 'send', 'fetch', 'send-directory', 'many'];
  await build({
    entryPoints: names.map((name) => fileURLToPath(new URL(`${name}.ts`, import.meta.url))),
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['cpu-features', '*.node'],
    logLevel: 'warning',
  });
  return (name) => join(folder, `${name}.cjs`);
}
