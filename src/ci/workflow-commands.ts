import { randomUUID } from 'node:crypto';

/** Writes text to the step's log. */
export type Write = (text: string) => void;

/**
 * The two things a step's log is for: commands to the runner, and text that must never be one.
 * All text goes between `stop-commands` marks, with a new secret mark each time (GitHub docs,
 * "Stopping and starting workflow commands"), so nothing a host prints is taken for a command.
 */
export class WorkflowLog {
  readonly #write: Write;
  #token: string | undefined;

  constructor(write: Write) {
    this.#write = write;
  }

  /** One line of text; what would end the mark, or start a line of its own, is taken out. */
  line(text: string): void {
    this.#token ??= this.#stop();
    const single = text.replace(/[\r\n]+/g, ' ');
    this.#write(`${replaceIgnoringCase(single, this.#token)}\n`);
  }

  /** A workflow command such as `group`; its message may have several lines. */
  command(name: string, message = '', properties: Record<string, string> = {}): void {
    this.close();
    const listed = Object.entries(properties)
      .filter(([, value]) => value !== '')
      .map(([key, value]) => `${key}=${escapeProperty(value)}`)
      .join(',');
    this.#write(`::${name}${listed && ` ${listed}`}::${escapeData(message)}\n`);
  }

  /** Lets the runner listen again; also at the end, for steps that share this log. */
  close(): void {
    if (this.#token) this.#write(`::${this.#token}::\n`);
    this.#token = undefined;
  }

  #stop(): string {
    const token = `savepoint-${randomUUID()}`;
    this.#write(`::stop-commands::${token}\n`);
    return token;
  }
}

/** The log of a self-hosted runner can be read by the job, and the mark in it (case is ignored). */
function replaceIgnoringCase(text: string, token: string): string {
  const at = text.toLowerCase().indexOf(token);
  return at < 0
    ? text
    : replaceIgnoringCase(text.slice(0, at) + text.slice(at + token.length), token);
}

/** Escapes of actions/toolkit, command.ts. */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
