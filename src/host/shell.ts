import { SavepointError } from '../errors.ts';
import { capture } from './capture.ts';
import type { Host } from './host.ts';

/** Runs shell scripts on a host. For what a person does there, never for a job. */
export interface HostShell {
  readonly host: Host;
  /** The login is not root but becomes it by sudo. */
  readonly sudo: boolean;
  /**
   * Runs a script with its words as $1, $2, ...; gives its standard output.
   * @throws SavepointError `host-write-failed` when it does not succeed.
   */
  run(script: string, words?: readonly string[], stdin?: string | Uint8Array): Promise<string>;
}

const identity = 'id -u && { [ "$(id -u)" = 0 ] || [ "$1" = no ] || sudo -n /bin/sh -c "id -u"; }';

/**
 * A root shell on a host whose login is root, or may become it without a password.
 * @throws SavepointError `no-sudo`
 */
export async function rootShell(host: Host, sudo: boolean): Promise<HostShell> {
  const who = await capture(
    host.run({ argv: ['/bin/sh', '-c', identity, 'sh', sudo ? 'yes' : 'no'] }),
  );
  const [login = '', root = login] = who.stdout.trim().split('\n');
  if (who.exit.code !== 0 || root !== '0') {
    const said = who.stderr.trim().split('\n').at(-1);
    throw new SavepointError('no-sudo', {
      message: `Root is needed on ${host.name} for this, and the login is not${said ? `: ${said}` : '.'}`,
      details: { host: host.name },
      hint: 'Log in as root, or as a user who may do everything by `sudo -n`.',
    });
  }
  return shellAs(host, login !== '0');
}

/** A shell of the login itself, whoever that is. */
export function loginShell(host: Host): HostShell {
  return shellAs(host, false);
}

function shellAs(host: Host, sudo: boolean): HostShell {
  const prefix = sudo ? ['sudo', '-n'] : [];
  return {
    host,
    sudo,
    run: async (script, words = [], stdin = '') => {
      const [first = '/bin/sh', ...rest] = [...prefix, '/bin/sh', '-euc', prelude + script, 'sh'];
      const { exit, stdout, stderr } = await capture(
        host.run({ argv: [first, ...rest, ...words], stdin }),
      );
      if (exit.code === 0) return stdout;
      const said = stderr.trim().split('\n').at(-1);
      throw new SavepointError('host-write-failed', {
        message: `A shell script on ${host.name} failed: ${said || `exit ${exit.code ?? exit.signal}`}`,
        details: { host: host.name, stderr },
      });
    },
  };
}

const prelude = 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C; umask 077; cd /\n';
