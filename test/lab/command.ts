import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';

/** What a command that ended left: `code` is 128 + n when signal n killed it, as in a shell. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Standard input; empty without it. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end, whatever its status. Rejects only when it cannot be started. */
export async function attempt(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<Output> {
  const [program = '', ...words] = argv;
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  // A command that does not read its input is no error.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 127 : constants.signals[signal])),
    );
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

/** Runs a command that must succeed, and gives its standard output. */
export async function must(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const output = await attempt(argv, options);
  if (output.code !== 0) {
    throw new Error(`${argv.join(' ')}: exit ${output.code}\n${output.stderr}${output.stdout}`);
  }
  return output.stdout;
}

/** Programs the lab calls and the Debian packages they come from. */
const packages = {
  chroot: 'coreutils',
  flock: 'util-linux',
  ip: 'iproute2',
  'linux.uml': 'user-mode-linux',
  'mkfs.ext4': 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  nsenter: 'util-linux',
  ssh: 'openssh-client',
  'systemd-nspawn': 'systemd-container',
  unshare: 'util-linux',
  xfs_io: 'xfsprogs',
} as const;

/**
 * Refuses to go on without the programs a step needs: a lab that is skipped proves nothing.
 * @throws Error with the apt-get command that installs what is missing.
 */
export async function needs(...programs: (keyof typeof packages)[]): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('The lab boots machines, which needs root.');
  const missing: (keyof typeof packages)[] = [];
  for (const program of programs) {
    if ((await attempt(['sh', '-c', 'command -v "$1"', 'sh', program])).code !== 0) {
      missing.push(program);
    }
  }
  if (missing.length > 0) {
    const install = [...new Set(missing.map((program) => packages[program]))].join(' ');
    throw new Error(
      `The lab needs ${missing.join(', ')}. Install with: apt-get install -y --no-install-recommends ${install}`,
    );
  }
}
