import { stat } from 'node:fs/promises';
import { type Complaint, complain, complainAll } from './complaints.ts';
import { type LoadContext, localPath } from './context.ts';
import type { FieldPath, JobDocument } from './document.ts';
import { takeExtensions } from './extensions.ts';
import { resolveHost } from './host.ts';
import type { HostConfig } from './host-config.ts';
import { type HostCommand, type Job, type JobCommand, phaseNames, unfilledRoot } from './job.ts';
import { isPresetName, presetOf } from './presets.ts';
import { allowedKeys, jobSchema, type RawCommand, type RawJob } from './schema.ts';
import { resolveTiming, seconds } from './timing.ts';
import { comparePaths, isWithin, outermost, pathProblem, resolveTracked } from './tracked-paths.ts';
import { resolveTransfers, withUnpack } from './transfers.ts';

export interface NormalizeInput {
  document: JobDocument;
  /** What the job is called unless it says so itself. */
  name: string;
  file?: string;
  directory: string;
  context: LoadContext;
  sshKey?: string | undefined;
  credentials: boolean;
}

/** Clean-up gets this many seconds unless the job says more: it runs while others wait. */
const cleanupTimeout = 120;

/** How long a host that is expected to restart may be away, in seconds: servers test their memory first. */
const rebootAway = 600;

/**
 * Checks one job and fills in everything it leaves out.
 * @throws SavepointError of class usage, with file, line, field, what was found and is allowed.
 */
export async function normalize(input: NormalizeInput): Promise<Job> {
  const { document, context, directory } = input;
  const fail = (complaint: Complaint): never => {
    throw complain(document, complaint);
  };
  const { rest, extensions } = takeExtensions(document.data);
  const parsed = jobSchema.safeParse(rest);
  if (!parsed.success) throw complainAll(document, parsed.error.issues, allowedKeys);
  const raw = withUnpack(parsed.data);
  const inDirectory = (path: string) => localPath(path, directory, context);
  const { root, scratch } = resolveRoot(raw, inDirectory, fail);
  const { track, presets } = resolveTrack(raw, root, fail);
  const files = raw.files === undefined ? undefined : inDirectory(raw.files);
  for (const [field, path] of Object.entries({ files, scratch })) {
    if (path !== undefined) await mustBeDirectory(path, field, fail);
  }
  const { sshKey, credentials, file } = input;
  const host = await resolveHost({
    raw: raw.host,
    directory,
    context,
    sshKey,
    credentials,
    scratch: scratch !== undefined,
    fail,
  });
  if (scratch !== undefined && host.type !== 'local') {
    const message = 'A throw-away root can only be on this machine.';
    const allowed = 'host: local, or no scratch';
    fail({ name: 'job-bad-value', path: ['scratch'], message, found: raw.scratch, allowed });
  }
  const commands = presetCommands(root, presets);
  return {
    name: raw.name ?? input.name,
    ...(file !== undefined && { file }),
    directory,
    host,
    root,
    ...(scratch !== undefined && { scratch }),
    track,
    presets,
    ...(await resolveTransfers(raw, inDirectory, fail)),
    ...(files !== undefined && { files }),
    remove: resolveRemove(raw, root, track, fail),
    ...(raw.check !== undefined && { check: resolveCommand(raw.check, ['check'], host, fail) }),
    onSuccess: raw['on-success'] ?? 'commit',
    onConflict: raw['on-conflict'] ?? 'backup',
    degraded: raw.degraded ?? false,
    ...resolveTiming(raw, fail),
    refresh: ownCommand(raw.refresh) ?? commands.refresh,
    probe: ownCommand(raw.probe) ?? commands.probe,
    env: texts(raw.env),
    phases: resolvePhases(raw, host, fail),
    ...(raw.expect !== undefined && { expect: raw.expect }),
    extensions,
  };
}

type Fail = (complaint: Complaint) => never;

function resolveRoot(raw: RawJob, inDirectory: (path: string) => string, fail: Fail) {
  if (raw.scratch !== undefined) {
    if (raw.root !== undefined) {
      const message = 'There are two roots, one by "root" and one by "scratch".';
      const path = ['scratch'];
      fail({ name: 'job-bad-value', path, message, found: raw.scratch, allowed: 'one of them' });
    }
    return { root: unfilledRoot, scratch: inDirectory(raw.scratch) };
  }
  const { root = '/' } = raw;
  const plain = root.startsWith('/') && !/\/(\.{0,2})(\/|$)|\p{Cc}/u.test(root);
  if (root === '/' || plain) return { root };
  return fail({
    name: 'job-bad-value',
    path: ['root'],
    message: '"root" must be a directory on the host in its plain form.',
    found: root,
    allowed: 'an absolute path with no empty, "." or ".." part',
  });
}

function resolveTrack(raw: RawJob, root: string, fail: Fail): Pick<Job, 'track' | 'presets'> {
  const all = raw.track.flatMap((item, index) => {
    const tracked = resolveTracked(item, root);
    return tracked.paths ?? fail({ ...tracked.problem, path: ['track', index], found: item });
  });
  const presets = [...new Set(raw.track.filter(isPresetName))];
  return { track: outermost(all), presets };
}

function resolveRemove(raw: RawJob, root: string, track: Job['track'], fail: Fail): string[] {
  const paths = (raw.remove ?? []).map((path, index) => {
    const problem = pathProblem(path, root);
    if (problem) fail({ ...problem, path: ['remove', index], found: path });
    if (track.some((tracked) => isWithin(path, tracked.path))) return path;
    return fail({
      name: 'remove-outside-tracked',
      path: ['remove', index],
      message: `"${path}" is to be removed, but nothing that is tracked holds it.`,
      found: path,
      allowed: track.map((tracked) => tracked.path),
    });
  });
  const sorted = [...new Set(paths)].sort(comparePaths);
  return sorted.filter((path) => !sorted.some((one) => one !== path && isWithin(path, one)));
}

function resolveCommand(
  raw: NonNullable<RawCommand>,
  path: FieldPath,
  host: HostConfig,
  fail: Fail,
): JobCommand {
  if (typeof raw === 'string') return { run: raw, env: {}, where: 'host' };
  const { run, env, timeout, where = 'host', reboot } = raw;
  if (reboot !== undefined && (where === 'controller' || host.type === 'local')) {
    const message = 'The machine that runs savepoint cannot restart meanwhile.';
    const allowed = 'a host that is reached over SSH';
    fail({ name: 'job-bad-value', path: [...path, 'reboot'], message, found: reboot, allowed });
  }
  const inSeconds = (value: number | string, field: string) =>
    seconds(value, [...path, field], { least: 1 }, fail);
  return {
    run,
    env: texts(env),
    where,
    ...(timeout !== undefined && { timeout: inSeconds(timeout, 'timeout') }),
    ...(reboot !== undefined && {
      reboot: reboot === 'expected' ? rebootAway : inSeconds(reboot, 'reboot'),
    }),
  };
}

function resolvePhases({ phases = {} }: RawJob, host: HostConfig, fail: Fail): Job['phases'] {
  return phaseNames.flatMap((name) => {
    const raw = phases[name];
    if (raw === undefined) return [];
    const defaults = name === 'cleanup' ? { timeout: cleanupTimeout } : {};
    return [{ name, ...defaults, ...resolveCommand(raw, ['phases', name], host, fail) }];
  });
}

/** What the presets run on the host. Below another root their commands would ask the wrong host. */
function presetCommands(root: string, names: string[]): Pick<Job, 'refresh' | 'probe'> {
  const commands: Pick<Job, 'refresh' | 'probe'> = { refresh: [], probe: [] };
  if (root !== '/') return commands;
  for (const name of names.filter(isPresetName)) {
    const { refresh, probe } = presetOf(name);
    if (refresh !== undefined) commands.refresh.push({ from: name, script: refresh });
    if (probe !== undefined) commands.probe.push({ from: name, script: probe });
  }
  return commands;
}

function ownCommand(script: string | undefined): HostCommand[] | undefined {
  if (script === undefined) return undefined;
  return script.trim() === '' ? [] : [{ from: 'job', script }];
}

function texts(env: RawJob['env'] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)]));
}

async function mustBeDirectory(path: string, field: string, fail: Fail): Promise<void> {
  const message = `"${field}" is not a directory on this machine.`;
  const complaint: Complaint = { name: 'files-missing', path: [field], message, found: path };
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (cause) {
    fail({ ...complaint, allowed: 'a directory', cause });
  }
  fail({ ...complaint, allowed: 'a directory' });
}
