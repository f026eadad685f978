import { readFileSync } from 'node:fs';
import { capture } from '../../src/host/capture.ts';
import type { Host } from '../../src/host/host.ts';
import { openHost } from '../../src/host/open.ts';
import type { Transfer } from '../../src/transfer/upload.ts';

/** The host whose configuration is in the JSON file that the first argument names. */
export function hostOfArguments(): Promise<Host> {
  return openHost(JSON.parse(readFileSync(String(process.argv[2]), 'utf8')));
}

/** Waits for a transfer; what it says is shown. */
export async function over({ stderr, exit }: Transfer): Promise<void> {
  stderr.pipe(process.stderr);
  await exit;
}

/** @throws Error unless the command ends with 0. */
export async function succeed(host: Host, ...argv: [string, ...string[]]): Promise<void> {
  const { exit, stderr } = await capture(host.run({ argv }));
  if (exit.code !== 0) throw new Error(`${argv.join(' ')}: ${exit.code ?? exit.signal}: ${stderr}`);
}
