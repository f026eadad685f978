import { randomBytes } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import { ask, type GuardSite, load, siteFields } from '../guard/client.ts';
import { decodeAnswer, encodeRequest, type Fields } from '../guard/protocol.ts';
import { refuseLoaderExit } from '../guard/refusal.ts';
import type { Exit, Running } from '../host/host.ts';
import { controllerEnvironment, launcher } from './launcher.ts';
import { Trailer } from './trailer.ts';
import type { PhaseCommand, PhaseProcess } from './types.ts';

/**
 * Starts a phase's command on the host, through the guard, so that all its descendants can be found.
 * Resolves once it runs.
 * @throws SavepointError what the guard answered instead of starting it (`not-open`, `fenced`, ...).
 */
export async function startPhase(
  site: GuardSite,
  credentials: Fields,
  command: PhaseCommand,
): Promise<PhaseProcess> {
  const nonce = randomBytes(16).toString('hex');
  const fields: Fields = [...credentials, ...siteFields(site), ['nonce', nonce]];
  const local = site.host.kind === 'local';
  const env = local ? { ...controllerEnvironment(process.env), ...command.env } : command.env;
  const cwd = local ? (command.env.SAVEPOINT_JOB_DIR ?? process.cwd()) : undefined;
  const script = launcher({ ...command, env, nonce, ...(cwd !== undefined && { cwd }) });
  const running = load(site, 'exec', Buffer.from(encodeRequest(fields) + script));
  const trailer = new Trailer(nonce);
  running.stderr.on('error', (error) => trailer.destroy(error)).pipe(trailer);
  const stdout = new PassThrough();
  const started = await Promise.race([trailer.started, running.exit.then(() => false)]);
  if (!started) throw await refusal(site, running, trailer);
  running.stdout.on('error', (error) => stdout.destroy(error)).pipe(stdout);
  return {
    stdout,
    stderr: trailer,
    exit: exitOf(running, trailer),
    kill: async () => void (await ask(site, 'kill', credentials)),
  };
}

/** The status of the phase's own command, which the guard says last. */
async function exitOf(running: Running, trailer: Trailer): Promise<Exit> {
  const end = await running.exit;
  const status = await trailer.status;
  if (status !== undefined) return { code: status };
  throw new SavepointError('host-lost', {
    message: `The phase's command was cut off (${end.code === undefined ? end.signal : `exit ${end.code}`}) and left no status.`,
    details: { end },
  });
}

async function refusal(site: GuardSite, running: Running, trailer: Trailer): Promise<Error> {
  const [stdout, stderr] = await Promise.all([collect(running.stdout), collect(trailer)]);
  refuseLoaderExit({ ...site, verb: 'exec' }, await running.exit, stderr.toString());
  if (stdout.length > 0) {
    try {
      decodeAnswer(stdout, 'exec');
    } catch (error) {
      if (error instanceof Error) return error;
    }
  }
  return new SavepointError('guard-protocol', {
    message: `The guard on ${site.host.name} did not start the phase: ${stderr.toString().trim() || 'it said nothing'}`,
    details: { stderr: stderr.toString() },
  });
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
