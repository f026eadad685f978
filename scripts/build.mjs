// Builds dist/: three self-contained CommonJS files, the pinned guard and the licenses of what is bundled.
// The same input gives the same bytes on every machine, so a check can compare them.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { bundleOptions } from './bundle-options.mjs';
import { carriedGuards } from './carried-guards.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist') } } });
const out = values.out;
const at = (...path) => join(root, ...path);

const pin = JSON.parse(readFileSync(at('guard/pin.json'), 'utf8'));
const releases = Object.fromEntries(
  readdirSync(at('guard/releases'))
    .sort()
    .map((version) => [version, readFileSync(at('guard/releases', version, 'guard.sh'), 'utf8')]),
);
const pinned = releases[pin.version];
const gate = readFileSync(at('guard/gate.sh'), 'utf8');
const policy = readFileSync(at('guard/policy.sh'), 'utf8');
const digest = createHash('sha256')
  .update(pinned ?? '')
  .digest('hex');
if (digest !== pin.sha256) {
  throw new Error(
    `guard/pin.json pins ${pin.version} with SHA-256 ${pin.sha256}, its release has ${digest}`,
  );
}

const guards = carriedGuards(releases, pin.version);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
const entries = ['main', 'post', 'cli'].filter((name) => existsSync(at('src', `${name}.ts`)));
const result = await build({
  entryPoints: entries.map((name) => at('src', `${name}.ts`)),
  ...bundleOptions,
  outdir: out,
  absWorkingDir: root,
  // Sources read these from the repository; a bundle carries them.
  define: {
    __SAVEPOINT__: JSON.stringify({ version, pin, guards, gate, policy }),
    'import.meta.url': '__importMetaUrl',
  },
  banner: { js: 'const __importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
  metafile: true,
});
writeFileSync(join(out, 'guard.sh'), pinned);
writeFileSync(join(out, 'licenses.txt'), licenses(Object.keys(result.metafile.inputs)));

/** The license texts of every package whose code is in a bundle, by name. */
function licenses(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match?.[1]) packages.add(relative(root, at(match[1])));
  }
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(
        readFileSync(at(folder, 'package.json'), 'utf8'),
      );
      const file = readdirSync(at(folder)).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file ? readFileSync(at(folder, file), 'utf8').trim() : `License: ${license}`;
      return `${name} ${version} (${license})\n\n${text}\n`;
    })
    .join(`\n${'-'.repeat(72)}\n\n`);
}
