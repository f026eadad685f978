// send-directory.cjs HOST FROM TO: sends a directory with everything in it.
import { spawn } from 'node:child_process';
import { capture } from '../../src/host/capture.ts';
import { hostOfArguments } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  const tar = spawn('tar', ['-C', from, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { exit } = await capture(
    host.run({ argv: ['tar', '-C', to, '-xf', '-'], stdin: tar.stdout }),
  );
  if (exit.code !== 0) throw new Error(`tar on the host: ${exit.code ?? exit.signal}`);
})();
