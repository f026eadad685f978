/** One workflow command that the runner took from a step's output. */
export interface WorkflowCommand {
  name: string;
  properties: Record<string, string>;
  message: string;
}

/**
 * Reads a step's output as GitHub's runner does (actions/runner: ActionCommand.cs,
 * ActionCommandManager.cs): `::name props::message` at the start of a line, `##[name props]message`
 * anywhere in it, and nothing at all after `stop-commands` until its token comes as a command.
 */
export class CommandReader {
  readonly commands: WorkflowCommand[] = [];
  /** What the log shows: lines that were no commands, masked. */
  readonly log: string[] = [];
  readonly #masks: Set<string>;
  #stopToken: string | undefined;
  #open = '';

  /** @param masks shared by all steps of a job. */
  constructor(masks: Set<string>) {
    this.#masks = masks;
  }

  /** True while the runner takes no commands. */
  get stopped(): boolean {
    return this.#stopToken !== undefined;
  }

  push(chunk: string): void {
    const lines = (this.#open + chunk).split('\n');
    this.#open = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  end(): void {
    if (this.#open) this.#line(this.#open);
    this.#open = '';
  }

  #line(line: string): void {
    const command = parseCurrent(line) ?? parseOld(line);
    if (command && this.#take(command)) return;
    this.log.push([...this.#masks].reduce((text, mask) => text.replaceAll(mask, '***'), line));
  }

  #take(command: WorkflowCommand): boolean {
    if (this.#stopToken !== undefined) {
      if (command.name.toLowerCase() !== this.#stopToken.toLowerCase()) return false;
      this.#stopToken = undefined;
      return true;
    }
    if (!known.has(command.name)) return false;
    if (command.name === 'stop-commands') this.#stopToken = command.message;
    if (command.name === 'add-mask') this.#masks.add(command.message);
    this.commands.push(command);
    return true;
  }
}

const known = new Set([
  'add-mask',
  'add-matcher',
  'add-path',
  'debug',
  'echo',
  'endgroup',
  'error',
  'group',
  'notice',
  'remove-matcher',
  'save-state',
  'set-env',
  'set-output',
  'stop-commands',
  'warning',
]);

function parseCurrent(line: string): WorkflowCommand | undefined {
  const match = /^\s*::([^:\s]+)(?:\s+([^:]*(?::(?!:)[^:]*)*))?::(.*)$/s.exec(line);
  return match ? commandOf(match) : undefined;
}

function parseOld(line: string): WorkflowCommand | undefined {
  const match = /##\[([^\]\s]+)(?:\s+([^\]]*))?\](.*)$/s.exec(line);
  return match ? commandOf(match) : undefined;
}

function commandOf([, name = '', listed = '', message = '']: RegExpExecArray): WorkflowCommand {
  const pairs = listed.split(/[,;]/).flatMap((pair): [string, string][] => {
    const at = pair.indexOf('=');
    return at < 0 ? [] : [[pair.slice(0, at).trim(), decoded(pair.slice(at + 1))]];
  });
  return { name, properties: Object.fromEntries(pairs), message: decoded(message) };
}

function decoded(text: string): string {
  return text
    .replaceAll('%0D', '\r')
    .replaceAll('%0A', '\n')
    .replaceAll('%3A', ':')
    .replaceAll('%2C', ',')
    .replaceAll('%25', '%');
}
