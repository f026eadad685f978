/**
 * What a backend must do, and its host with it. For one of your own, see docs/backends.md:
 *
 *   SAVEPOINT_BACKEND=/srv/lab/box SAVEPOINT_BACKEND_WITH='{"rack": 7}' npm run conformance
 */
import { resolve } from 'node:path';
import { labImage } from '../lab/image.ts';
import { describeBackend } from './conformance/backend.ts';

const { SAVEPOINT_BACKEND: given, SAVEPOINT_BACKEND_WITH: told } = process.env;

if (given !== undefined) {
  await describeBackend(given, resolve(given), async () => JSON.parse(told ?? '{}'));
} else {
  const image = async () => ({ image: (await labImage()).disk });
  const here = (path: string) => resolve(import.meta.dirname, '../..', path);
  await describeBackend('executable (nspawn)', here('examples/backends/nspawn'), image);
  await describeBackend('module (nspawn)', here('examples/backends/nspawn.mjs'), image);
  await describeBackend('module that runs commands itself', here('test/host/backends/own.mjs'));
  await describeBackend('executable that runs commands itself', here('test/host/backends/program'));
}
