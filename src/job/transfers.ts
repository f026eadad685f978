import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Complaint } from './complaints.ts';
import type { FieldPath } from './document.ts';
import type { Attachment, Job, JobFiles } from './job.ts';
import type { RawJob } from './schema.ts';
import { parseSize } from './sizes.ts';

type Fail = (complaint: Complaint) => never;

/** A CI's logs and test results, many times over; more than that is asked for. */
const defaults = { size: 1024 ** 3, entries: 100_000 };

/** Attachments are placed in the unpack phase: a job that has some has that phase, if without a command. */
export function withUnpack(raw: RawJob): RawJob {
  const { attachments = [], phases } = raw;
  if (attachments.length === 0 || phases?.unpack !== undefined) return raw;
  return { ...raw, phases: { ...phases, unpack: '' } };
}

/**
 * What the job sends and fetches.
 * @param inDirectory gives a local path of the job as an absolute one
 */
export async function resolveTransfers(
  raw: RawJob,
  inDirectory: (path: string) => string,
  fail: Fail,
): Promise<Pick<Job, 'transfers'>> {
  const { attachments: sent = [], artifacts: fetched = [] } = raw;
  const size = parseSize(String(raw['artifacts-max-size'] ?? defaults.size));
  if (size === undefined) {
    const message = '"artifacts-max-size" is more than can be counted.';
    const found = raw['artifacts-max-size'];
    fail({ name: 'job-bad-value', path: ['artifacts-max-size'], message, found, allowed: '8191T' });
  }
  const attachments: Attachment[] = [];
  for (const [index, given] of sent.entries()) {
    const path = ['attachments', index];
    const one = await attachment(given, path, inDirectory, fail);
    const other = attachments.find(({ agent }) => overlap(agent, one.agent));
    if (other) {
      const message = `Two attachments have the same place: ${other.agent} and ${one.agent}.`;
      const allowed = 'places of which none is in another';
      fail({ name: 'job-bad-value', path, message, found: one.agent, allowed });
    }
    attachments.push(one);
  }
  const paths = fetched.map((path, index) => {
    const field = ['artifacts', index];
    return path.startsWith('/')
      ? `/${inside(path.slice(1), field, fail)}`
      : inside(path, field, fail);
  });
  if (attachments.length === 0 && paths.length === 0) return {};
  const limits = {
    size: size as number,
    entries: raw['artifacts-max-entries'] ?? defaults.entries,
  };
  const transfers: JobFiles = { attachments, artifacts: outermost(paths), limits };
  return { transfers };
}

async function attachment(
  given: NonNullable<RawJob['attachments']>[number],
  path: FieldPath,
  inDirectory: (path: string) => string,
  fail: Fail,
): Promise<Attachment> {
  const { local, agent } = typeof given === 'string' ? { local: given } : given;
  const found = inDirectory(local);
  try {
    const kind = await stat(found);
    if (!kind.isFile() && !kind.isDirectory()) throw new Error('It is of another kind.');
  } catch (cause) {
    const message = `The attachment ${local} is no file or directory on this machine.`;
    fail({ name: 'files-missing', path, message, found, allowed: 'a file or a directory', cause });
  }
  const place = agent ?? basename(found);
  const field = agent === undefined ? path : [...path, 'agent'];
  return { local: found, agent: inside(place, field, fail) };
}

/** A relative path in its plain form. */
function inside(path: string, field: FieldPath, fail: Fail): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length > 0 && !parts.includes('..') && !/\p{Cc}/u.test(path)) return parts.join('/');
  return fail({
    name: 'job-bad-value',
    path: field,
    message: 'This cannot be a place on the host.',
    found: path,
    allowed: 'a path without ".." and control characters',
  });
}

function overlap(one: string, other: string): boolean {
  return `${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`);
}

/** Without the paths that another one takes in, and none twice. */
function outermost(paths: readonly string[]): string[] {
  const unique = [...new Set(paths)];
  return unique.filter((path) => !unique.some((one) => one !== path && path.startsWith(`${one}/`)));
}
