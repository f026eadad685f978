import type { BenchHost } from './host.ts';
import { pipeline } from './peers.ts';
import { output } from './program.ts';

/** What was compared: `name version` each. */
export async function versions(bench: BenchHost): Promise<string[]> {
  const first = async (script: string) => {
    const text = await output({ argv: pipeline(script, []), env: bench.env }, bench.folder);
    return /\d+(\.\d+)+\w*/.exec(text)?.[0] ?? 'of unknown version';
  };
  return [
    `Node ${process.versions.node}`,
    `OpenSSH ${await first('ssh -V 2>&1')}`,
    `ansible-core ${await first('ansible --version')}`,
    `rsync ${await first('rsync --version')}`,
  ];
}
