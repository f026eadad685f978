import type { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { SavepointError } from '../errors.ts';
import type { Exit, Host, Running } from '../host/host.ts';
import { INSTALLER, loaderExit, loaderLine } from './bootstrap.ts';
import { type Answer, decodeAnswer, encodeRequest, type Fields } from './protocol.ts';
import { refuseLoaderExit } from './refusal.ts';
import type { Guard } from './releases.ts';

/** Which guard runs where, and as whom. */
export interface GuardSite {
  host: Host;
  guard: Guard;
  /** Directory on the host that all tracked paths are below; `/` for the host itself. */
  root: string;
  /** Reach root by `sudo -n` where the login is not root. */
  sudo: boolean;
}

/**
 * Runs one verb of the guard on the host. A host that has the guard needs one command; one that
 * has not gets it, checked by digest on both sides, and is asked again.
 * @param payload follows the header; it is made anew should the verb have to be sent twice.
 * @throws SavepointError what the guard answered; `no-sudo`, `guard-mismatch`, `guard-refused-by-host`;
 *   what the host throws.
 */
export async function ask(
  site: GuardSite,
  verb: string,
  fields: Fields,
  payload?: () => Buffer,
): Promise<Answer> {
  const request = Buffer.concat([
    Buffer.from(encodeRequest([...fields, ...siteFields(site)])),
    payload?.() ?? Buffer.alloc(0),
  ]);
  const attempt = async () => {
    const running = load(site, verb, request);
    const [stdout, stderr, exit] = await Promise.all([
      buffer(running.stdout),
      text(running.stderr),
      running.exit,
    ]);
    return { stdout, stderr, exit };
  };
  let result = await attempt();
  if (result.exit.code === loaderExit.notInstalled) {
    await install(site, verb);
    result = await attempt();
  }
  refuseLoaderExit({ ...site, verb }, result.exit, result.stderr);
  if (result.stdout.length === 0) throw unanswered(site, verb, result.exit, result.stderr);
  return decodeAnswer(result.stdout, verb);
}

/** Starts a verb whose output is streamed; the caller makes sense of it. */
export function load(
  { host, guard, root, sudo }: GuardSite,
  verb: string,
  stdin: Buffer | Readable,
): Running {
  return host.run({ argv: loaderLine({ root: inGuard(root), guard, sudo, verb }), stdin });
}

/** Fields that say where the guard works and which one it is. */
export function siteFields({ guard, root }: GuardSite): Fields {
  return [
    ['guard', guard.sha256],
    ['root', inGuard(root)],
  ];
}

async function install(site: GuardSite, verb: string): Promise<void> {
  const { host, guard, root, sudo } = site;
  const running = host.run({
    argv: ['/bin/sh', '-c', INSTALLER, 'sh', inGuard(root), guard.sha256, sudo ? 'yes' : 'no'],
    stdin: guard.text,
  });
  running.stdout.resume();
  const [stderr, exit] = await Promise.all([text(running.stderr), running.exit]);
  refuseLoaderExit({ ...site, verb }, exit, stderr);
  if (exit.code !== 0) {
    throw new SavepointError('host-write-failed', {
      message: `The guard could not be put on ${host.name}: ${lastLine(stderr) || `exit ${exit.code ?? exit.signal}`}`,
      details: { host: host.name, stderr },
    });
  }
}

function unanswered(site: GuardSite, verb: string, exit: Exit, stderr: string): SavepointError {
  return new SavepointError('guard-protocol', {
    message: `The guard on ${site.host.name} gave no answer to ${verb} (${
      exit.code === undefined ? exit.signal : `exit ${exit.code}`
    })${lastLine(stderr) ? `: ${lastLine(stderr)}` : '.'}`,
    details: { host: site.host.name, verb, stderr: stderr.slice(-2000) },
  });
}

/** The guard writes the host's own root as nothing, so that names can be put behind it. */
function inGuard(root: string): string {
  return root === '/' ? '' : root;
}

function lastLine(stderr: string): string {
  return stderr.trimEnd().split('\n').at(-1) ?? '';
}
