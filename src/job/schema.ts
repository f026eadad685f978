import * as z from 'zod';
import { durationForms, durationPattern } from './durations.ts';
import { outcomes, phaseNames } from './job.ts';
import { presetNames } from './presets.ts';
import { sizeForms, sizePattern } from './sizes.ts';

/** Names of environment variables, as POSIX has them (XBD 8.1, lower case included). */
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `expected`, or a duration. */
const rebootPattern = new RegExp(`^expected$|${durationPattern.source}`);

function duration(about: string) {
  return z
    .union([z.int().min(0), z.string().regex(durationPattern, durationForms)])
    .describe(`${about} Seconds, or a number with s, m, h or d.`);
}

const text = z.string().min(1);

const env = z
  .record(
    z.string().regex(variableName, 'letters, digits and _, not starting with a digit'),
    z.union([z.string(), z.number(), z.boolean()]),
  )
  .describe('Environment variables. Values are taken as they are written, 1.10 as "1.10".');

const where = z
  .enum(['host', 'controller'])
  .describe('Where it runs: on the host (default), or on the machine that runs savepoint.');

const script = 'A shell script that ends at its first failing command, or one with #!';

const reboot = z
  .union([
    z.int().min(0),
    z.string().regex(rebootPattern, `expected, or how long it may be away: ${durationForms}`),
  ])
  .describe(
    'Expect the host to restart meanwhile: "expected", or how long it may be away; expected is 10m.',
  );

const command = z.strictObject({
  run: z.union([text, z.array(text).min(1)]).describe(`${script}; or a list of them.`),
  env: env.optional(),
  timeout: duration('How long it may take.').optional(),
  where: where.optional(),
  reboot: reboot.optional(),
});

const commandOrScript = z.union([text, command]);

const attachment = z.strictObject({
  local: text.describe('A file or directory of this machine, relative to the job file.'),
  agent: text.describe('Where it goes in the work directory; its own name by default.').optional(),
});

const portRange = '1 to 65535';

const host = z.strictObject({
  type: z
    .enum(['local', 'ssh', 'backend'])
    .describe('This machine, one reached over SSH, or one that a backend makes ready.')
    .optional(),
  name: text.describe('Name or address of the SSH host, or what ssh_config calls it.').optional(),
  port: z
    .int()
    .min(1, portRange)
    .max(65_535, portRange)
    .describe('SSH port; what ssh_config says, or 22, by default.')
    .optional(),
  user: text
    .describe('Who logs in; what ssh_config says, or your own name, by default.')
    .optional(),
  key: text.describe('Private key file. ~/ is your home.').optional(),
  'key-env': text
    .regex(variableName, 'the name of an environment variable')
    .describe('Name of the environment variable that holds the private key.')
    .optional(),
  agent: z
    .union([z.boolean(), text])
    .describe("Use an SSH agent: true for SSH_AUTH_SOCK's, or the path of its socket.")
    .optional(),
  'known-hosts': text.describe('A known_hosts file, or its lines.').optional(),
  'host-key-check': z
    .enum(['strict', 'accept-any'])
    .describe('strict refuses unknown keys (default); accept-any checks nothing.')
    .optional(),
  sudo: z
    .boolean()
    .describe('Become root by sudo -n; by default when the user is not root.')
    .optional(),
  'connect-timeout': duration('How long connecting may take; 10s by default.').optional(),
  'ssh-config': text
    .describe("ssh_config file to read instead of OpenSSH's usual ones, or none.")
    .optional(),
  use: text.describe('Backend: an ES module (.mjs) or an executable.').optional(),
  with: z.record(z.string(), z.unknown()).describe('What the backend is told.').optional(),
});

const phases = z.strictObject(
  Object.fromEntries(phaseNames.map((name) => [name, commandOrScript.optional()])) as Record<
    (typeof phaseNames)[number],
    z.ZodOptional<typeof commandOrScript>
  >,
);

/** One document of a job file, exactly as people write it. */
export const jobSchema = z.strictObject({
  name: text.describe('Name of the job; that of the file by default.').optional(),
  host: z
    .union([text, host])
    .describe('local (default), ssh://user@name:port, backend:FILE, or a mapping.')
    .optional(),
  root: text
    .describe('Directory on the host that tracked paths are below; / by default.')
    .optional(),
  scratch: text
    .describe('Instead of root: a throw-away root, filled from this directory.')
    .optional(),
  track: z
    .array(text)
    .min(1)
    .describe(`What the transaction protects: absolute paths, or ${presetNames.join(', ')}.`),
  files: text.describe('Directory laid over the tracked paths.').optional(),
  remove: z.array(text).describe('Tracked paths that the change removes.').optional(),
  check: commandOrScript
    .describe('Must succeed on the changed configuration before any phase runs.')
    .optional(),
  'on-success': z
    .enum(['commit', 'rollback'])
    .describe('What becomes of the change when all went well; commit by default.')
    .optional(),
  'on-conflict': z
    .enum(['backup', 'keep'])
    .describe('Which version stays at a rollback when somebody else edited a tracked path.')
    .optional(),
  degraded: z
    .boolean()
    .describe("Accept a host whose tools lose metadata, such as busybox's cp.")
    .optional(),
  lease: duration('How long the host waits for a sign of life; 120s by default.').optional(),
  renew: duration('Time between signs of life; 15s by default.').optional(),
  deadline: duration('When the host rolls back in any case; 6h by default.').optional(),
  'lock-timeout': duration(
    'How long to wait for a host that another transaction holds; 0s by default.',
  ).optional(),
  refresh: z
    .string()
    .describe("Run after a rollback instead of the presets' own; empty for none.")
    .optional(),
  probe: z
    .string()
    .describe("Must succeed after a rollback, instead of the presets' own; empty for none.")
    .optional(),
  env: env.optional(),
  phases: phases.describe(`The job itself: ${phaseNames.join(', ')}.`).optional(),
  attachments: z
    .array(z.union([text, attachment]))
    .describe('Local files and directories, placed on the host in the unpack phase.')
    .optional(),
  artifacts: z
    .array(text)
    .describe('Files and directories of the host, fetched after the phases.')
    .optional(),
  'artifacts-max-size': z
    .union([z.int().min(0), z.string().regex(sizePattern, sizeForms)])
    .describe('What the artifacts may have together; 1G by default. Bytes, or with K, M, G or T.')
    .optional(),
  'artifacts-max-entries': z
    .int()
    .min(1)
    .describe('How many files, directories and links may be fetched; 100000 by default.')
    .optional(),
  expect: z
    .enum(outcomes)
    .describe('The outcome the job must end with, for jobs that test a bad change.')
    .optional(),
});

/** A job as it is written, once it has passed the schema. */
export type RawJob = z.output<typeof jobSchema>;
export type RawHost = z.output<typeof host>;
export type RawCommand = z.output<typeof commandOrScript>;

/** The schema for editors and other programs: JSON Schema, draft 7. */
export function jobJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(jobSchema, {
    target: 'draft-7',
    io: 'input',
    // The reader takes keys that start with x- in every mapping that has fixed keys.
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) jsonSchema.patternProperties = { '^x-': {} };
    },
  });
  return { title: 'Savepoint job', ...schema };
}

/** The keys that the mapping at this place of a job may have. */
export function allowedKeys(path: readonly (string | number)[]): string[] {
  if (path.length === 0) return Object.keys(jobSchema.shape);
  if (path[0] === 'host') return Object.keys(host.shape);
  if (path[0] === 'attachments') return Object.keys(attachment.shape);
  return path[0] === 'phases' && path.length === 1 ? [...phaseNames] : Object.keys(command.shape);
}
