/** Whose move it is when something went wrong. Decides the exit status. */
export type ErrorClass = 'job' | 'usage' | 'host' | 'internal' | 'recovery';

/** Exit status per class (DESIGN.md section 6). 0 is no error at all. */
export const exitCodes = {
  job: 1,
  usage: 2,
  host: 3,
  internal: 70,
  recovery: 46,
} as const satisfies Record<ErrorClass, number>;

export interface CatalogueEntry {
  /** Stable number: usage 100s, job 200s, host 300s, recovery 400s, internal 900s. */
  readonly code: number;
  readonly class: ErrorClass;
  /** What it means in one sentence, when nothing more specific is said. */
  readonly reason: string;
}

function entry<C extends ErrorClass>(code: number, errorClass: C, reason: string) {
  return { code, class: errorClass, reason } as const;
}

/** Every error there is. Append only: a number or a name is never reused or changed. */
export const catalogue = {
  'bad-usage': entry(101, 'usage', 'The command line is not one this command understands.'),
  'bad-input': entry(102, 'usage', 'An input of the action has a value that is not allowed.'),
  'job-file-missing': entry(103, 'usage', 'The job file cannot be read.'),
  'job-file-syntax': entry(104, 'usage', 'The job file is not valid YAML.'),
  'job-unknown-key': entry(105, 'usage', 'The job has a key that does not exist.'),
  'job-wrong-type': entry(106, 'usage', 'A field of the job has the wrong type.'),
  'job-bad-value': entry(107, 'usage', 'A field of the job has a value that is not allowed.'),
  'job-missing-field': entry(108, 'usage', 'The job lacks a field it cannot do without.'),
  'track-relative': entry(109, 'usage', 'A tracked path is not absolute.'),
  'track-root': entry(110, 'usage', 'The root directory itself cannot be tracked.'),
  'track-bad-path': entry(111, 'usage', 'A tracked path is not written in its plain form.'),
  'track-unknown-preset': entry(112, 'usage', 'There is no preset of this name.'),
  'track-overlap': entry(113, 'usage', 'Two paths that the job names contradict each other.'),
  'track-reserved': entry(114, 'usage', "The guard's own state cannot be tracked."),
  'files-missing': entry(115, 'usage', 'A local directory that the job names does not exist.'),
  'files-outside-tracked': entry(116, 'usage', 'A file to lay over the host is not tracked.'),
  'files-bad-entry': entry(117, 'usage', 'The files to lay over hold something unsupported.'),
  'remove-outside-tracked': entry(118, 'usage', 'A path to remove is not tracked.'),
  'set-bad': entry(119, 'usage', 'An override is not of the form field=value.'),
  'host-conflict': entry(120, 'usage', 'Two different hosts were asked for.'),
  'key-missing': entry(121, 'usage', 'There is no SSH key to authenticate with.'),
  'key-unreadable': entry(122, 'usage', 'The SSH key file cannot be read.'),
  'key-bad': entry(123, 'usage', 'The SSH key cannot be parsed, or its passphrase is wrong.'),
  'known-hosts-missing': entry(124, 'usage', 'The known_hosts file cannot be read.'),
  'pin-bad': entry(125, 'usage', 'The guard pin is not a version and a SHA-256 digest.'),
  'guard-unavailable': entry(126, 'usage', 'The guard that is asked for is not to be had.'),
  'state-missing': entry(127, 'usage', 'No transaction is recorded here.'),
  'state-bad': entry(128, 'usage', 'The recorded transaction cannot be understood.'),
  'output-unwritable': entry(129, 'usage', 'The output folder cannot be written to.'),
  'ssh-config-bad': entry(130, 'usage', 'The SSH configuration has something that cannot be used.'),
  'ssh-config-program': entry(131, 'usage', 'The SSH configuration would run a program here.'),
  'guard-unproved': entry(132, 'usage', 'No whole proof is recorded for this guard.'),
  'backend-bad': entry(141, 'usage', 'The backend of the host cannot be used.'),
  'backend-refused': entry(142, 'usage', 'The backend may not run on this machine.'),

  'phase-failed': entry(201, 'job', 'A command of a phase failed.'),
  'phase-timeout': entry(202, 'job', 'A phase took longer than it may.'),
  'check-failed': entry(203, 'job', 'The changed configuration did not pass its check.'),
  'job-cancelled': entry(204, 'job', 'The job was cancelled.'),
  'outcome-unexpected': entry(205, 'job', 'The job did not end with the outcome it expects.'),
  'attachment-changed': entry(221, 'job', 'An attachment changed while it was being sent.'),
  'artifact-missing': entry(222, 'job', 'The host does not have an artifact.'),
  'artifact-refused': entry(223, 'job', 'What the host sent as an artifact is not allowed.'),

  'host-unreachable': entry(301, 'host', 'The host cannot be reached.'),
  'host-auth-failed': entry(302, 'host', 'The host refused every way to log in.'),
  'host-key-unknown': entry(303, 'host', "The host's key is in no known_hosts that was given."),
  'host-key-changed': entry(304, 'host', "The host's key is not the one that is known for it."),
  'host-lost': entry(305, 'host', 'The connection to the host broke.'),
  'host-file-missing': entry(306, 'host', 'The host has no such file.'),
  'no-sudo': entry(307, 'host', 'The user may not become root on the host without a password.'),
  'host-busy': entry(308, 'host', 'Another transaction is open on the host.'),
  'host-quarantined': entry(309, 'host', 'An earlier transaction could not be rolled back.'),
  'host-tools-missing': entry(310, 'host', 'The host lacks a tool that the guard needs.'),
  'host-degraded': entry(311, 'host', "The host's tools would lose metadata that it uses."),
  'host-no-space': entry(312, 'host', 'The host has too little free space for the copies.'),
  'path-not-replaceable': entry(313, 'host', 'A tracked path cannot be renamed over.'),
  'path-under-symlink': entry(314, 'host', 'A directory above a tracked path is a symbolic link.'),
  'path-changing': entry(315, 'host', 'A tracked path changed while it was being copied.'),
  'guard-mismatch': entry(316, 'host', 'The guard on the host is not the pinned one.'),
  'guard-refused-by-host': entry(317, 'host', 'The host pins another guard than this one.'),
  'not-open': entry(318, 'host', 'The host has no such open transaction.'),
  'bad-token': entry(319, 'host', 'The transaction belongs to somebody else.'),
  fenced: entry(320, 'host', 'A later controller has taken over this transaction.'),
  'edited-by-others': entry(321, 'host', 'Somebody else edited a tracked path meanwhile.'),
  'lease-expired': entry(322, 'host', 'The host heard nothing for too long and rolled back.'),
  'host-write-failed': entry(323, 'host', 'The host could not write what it had to.'),
  'host-read-failed': entry(324, 'host', 'A file of the host cannot be read.'),
  'host-key-revoked': entry(325, 'host', "The host's key is marked as revoked."),
  'host-rebooted': entry(326, 'host', 'The host restarted unexpectedly and rolled back.'),
  'backend-failed': entry(341, 'host', 'The backend of the host failed.'),
  'transfer-refused': entry(351, 'host', 'The login on the host cannot transfer files.'),
  'transfer-failed': entry(352, 'host', 'Files could not be sent to the host, or fetched.'),

  'rollback-failed': entry(401, 'recovery', 'The host could not be brought back.'),
  'rolled-back-unhealthy': entry(402, 'recovery', 'Restored, but the host fails its probe.'),

  defect: entry(901, 'internal', 'Something happened that should be impossible.'),
  'guard-protocol': entry(902, 'internal', "The guard's answer cannot be understood."),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorName = keyof typeof catalogue;

/** True for names of the catalogue; the guard answers with the same names. */
export function isErrorName(name: string): name is ErrorName {
  return Object.hasOwn(catalogue, name);
}

/** Where in the input the mistake is. Lines and columns count from 1. */
export interface Place {
  file?: string;
  line?: number;
  column?: number;
  /** Dotted path of the field, an option (`--set`) or an input (`ssh-key`). */
  field?: string;
}

export interface ErrorOptions {
  /** What happened here, in one sentence; without it the catalogue's sentence is used. */
  message?: string;
  /** Facts for people and scripts. Bad input uses `found` and `allowed`. Never a secret. */
  details?: Record<string, unknown>;
  /** What the person can do about it. */
  hint?: string;
  /** What led to it: one thing that was thrown, or several. */
  cause?: unknown;
  place?: Place;
}

/** The only error that leaves a module: one entry of the catalogue and what is known about it. */
export class SavepointError extends Error {
  override readonly name: ErrorName;
  readonly code: number;
  readonly class: ErrorClass;
  readonly details: Record<string, unknown>;
  readonly hint: string | undefined;
  readonly place: Place | undefined;

  constructor(name: ErrorName, options: ErrorOptions = {}) {
    const { code, class: errorClass, reason } = catalogue[name];
    super(
      options.message ?? reason,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = name;
    this.code = code;
    this.class = errorClass;
    this.details = options.details ?? {};
    this.hint = options.hint;
    this.place = options.place;
  }

  /** What happened, in one sentence: the specific one where there is one. */
  get reason(): string {
    return this.message;
  }

  /** What the process ends with when this is what ended it. */
  get exitCode(): number {
    return exitCodes[this.class];
  }

  /** Everything that led here, nearest first; an AggregateError counts as its members. */
  get causes(): unknown[] {
    const { cause } = this;
    if (cause === undefined) return [];
    return cause instanceof AggregateError ? [...cause.errors] : [cause];
  }

  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      name: this.name,
      class: this.class,
      reason: this.reason,
      details: this.details,
      ...(this.place && { place: this.place }),
      ...(this.hint && { hint: this.hint }),
      causes: this.causes.map(causeJson),
    };
  }
}

/** Anything thrown as a SavepointError: what is not one already is a `defect` with its cause. */
export function asSavepointError(error: unknown): SavepointError {
  if (error instanceof SavepointError) return error;
  return new SavepointError('defect', {
    message: `${catalogue.defect.reason} ${sentenceOf(error)}`,
    hint: 'Please report this with the whole output.',
    cause: error,
  });
}

function causeJson(cause: unknown): unknown {
  if (cause instanceof SavepointError) return cause.toJSON();
  if (!(cause instanceof Error)) return { reason: String(cause) };
  const code = 'code' in cause ? { code: cause.code } : {};
  const deeper = cause.cause === undefined ? {} : { causes: [causeJson(cause.cause)] };
  return { name: cause.name, reason: cause.message, ...code, ...deeper };
}

/** One line for anything that was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/**
 * The error as a person reads it: the sentence, then one indented line per fact. Control
 * characters are escaped, since some facts come from the host or from a file under test.
 */
export function describe(error: unknown): string {
  const it = asSavepointError(error);
  const facts: [string, unknown][] = [];
  if (it.place) facts.push(['at', describePlace(it.place)]);
  facts.push(...Object.entries(it.details));
  for (const cause of flatCauses(it)) facts.push(['cause', causeLine(cause)]);
  if (it.hint) facts.push(['hint', it.hint]);
  const shown = facts.filter(([, value]) => value !== undefined && value !== '');
  const width = Math.max(0, ...shown.map(([key]) => key.length));
  const lines = shown.map(([key, value]) => `  ${key.padEnd(width)}  ${plain(value)}`);
  return [`${it.name} (${it.code}): ${plain(it.reason)}`, ...lines].join('\n');
}

function describePlace({ file, line, column, field }: Place): string {
  const position = [file, line, line === undefined ? undefined : column].filter(
    (part) => part !== undefined,
  );
  return [position.join(':'), field && `field ${field}`].filter(Boolean).join(', ');
}

function flatCauses(error: SavepointError): unknown[] {
  return error.causes.flatMap((cause) => {
    if (cause instanceof SavepointError) return [cause, ...flatCauses(cause)];
    return cause instanceof Error && cause.cause !== undefined ? [cause, cause.cause] : [cause];
  });
}

function causeLine(cause: unknown): string {
  if (!(cause instanceof SavepointError)) return sentenceOf(cause);
  return `${cause.name} (${cause.code}): ${cause.reason}`;
}

function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(', ');
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, (control) =>
    control === '\n' ? '\\n' : `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
