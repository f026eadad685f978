import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../real/processes.ts';
import type { ScratchHost } from '../real/scratch-host.ts';

/** Waits until the host has ended its transaction by itself; how it ended, and who decided. */
export async function endedAlone(host: ScratchHost): Promise<{ outcome: string; by: string }> {
  const state = join(host.root, 'var/lib/savepoint');
  await until('the host has ended it', () => !existsSync(join(state, 'open')));
  const [id = ''] = readdirSync(join(state, 'tx'));
  const read = (name: string) => readFileSync(join(state, 'tx', id, name), 'utf8').trim();
  return { outcome: read('outcome'), by: read('decision').replace(/^\S+ /, '') };
}
