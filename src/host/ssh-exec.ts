import { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { ClientChannel } from 'ssh2';
import { SavepointError } from '../errors.ts';
import { feed } from './feed.ts';
import type { Command, Exit } from './host.ts';
import { killCommand, searchLimit } from './kill-marked.ts';
import { drained, type Output } from './output.ts';
import { killGrace, markVariable, newMark } from './processes.ts';
import { commandLine, quoteWords } from './quote.ts';
import type { SshConnection } from './ssh-connection.ts';
import { lost } from './ssh-errors.ts';
import { endWasSent, sendSignal, windowGrower } from './ssh-internals.ts';
import { targetName } from './ssh-target.ts';

/** How long the end of a killed command may take to be reported. */
const reportLimit = 1000;

export interface Task {
  readonly command: Command;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Aborted when the command is to end early. */
  readonly stop: AbortSignal;
  /** Runs something else on the same host, on whatever connection has room. */
  beside(command: Command): Promise<unknown>;
}

/**
 * Runs one command over a connection and resolves with its exit.
 * @throws SavepointError `host-lost` when the connection breaks, or the server closes the channel
 *   without saying how the command ended; `host-write-failed` when its input broke off
 * @throws ChannelRefused before anything was started
 */
export async function execute(connection: SshConnection, task: Task): Promise<Exit> {
  const { command, stdout, stderr, stop } = task;
  // The mark is for finding the command and its descendants when it has to be stopped, by its
  // caller or because its input broke off. Other commands are sent as they are.
  const mark = command.signal || command.stdin instanceof Readable ? newMark() : undefined;
  const env = { ...command.env, ...(mark && { [markVariable]: mark }) };
  const { channel, ending, roundTrip } = await connection.exec(commandLine(command, env));
  const started = performance.now();
  const isWhole = endWasSent(connection.client, channel);
  const grow = windowGrower(connection.client, channel, roundTrip);
  stdout.attach(channel, grow);
  stderr.attach(channel.stderr, grow);
  let failure: unknown;
  const kill = () => void stopCommand(connection, channel, mark, ending, task);
  stop.addEventListener('abort', kill);
  if (stop.aborted) kill();
  feed(command.stdin, channel, command.argv[0]).catch((error: unknown) => {
    failure = error;
    kill();
  });
  const exit = await ending;
  await drained([stdout, stderr], stop, () => connection.roundTrip());
  stop.removeEventListener('abort', kill);
  channel.close();
  if (failure !== undefined) throw failure;
  if (exit && isWhole()) return exit;
  const after = `${((performance.now() - started) / 1000).toFixed(1)} s`;
  throw notReported(connection, command, { after, ...(exit && { exit }) }, stop.aborted);
}

/**
 * TERM, then KILL. The request for a signal costs nothing but is refused by OpenSSH for root
 * (before 9.8) and for forced commands, and reaches only the process group; so what carries the
 * mark is looked for as well. A server that will do neither gets its channel closed, and then a
 * command that writes ends of SIGPIPE.
 */
async function stopCommand(
  connection: SshConnection,
  channel: ClientChannel,
  mark: string | undefined,
  ending: Promise<unknown>,
  task: Task,
): Promise<void> {
  let ended = false;
  const within = async (milliseconds: number) => {
    await Promise.race([ending.then(() => (ended = true)), timer(milliseconds)]);
  };
  sendSignal(connection.client, channel, 'TERM');
  if (mark) {
    // Whether it worked shows in the end of the command itself.
    const search = task.beside(killCommand(mark)).catch(() => undefined);
    await Promise.race([search, timer(searchLimit)]);
  } else {
    await within(killGrace);
  }
  sendSignal(connection.client, channel, 'KILL');
  await within(reportLimit);
  if (ended) return;
  channel.close();
  await within(reportLimit);
  // Not even that was answered; to everybody waiting the channel is closed all the same.
  if (!ended) channel.emit('close');
}

/** Keeps nobody waiting: the connection it watches over keeps this process alive. */
function timer(milliseconds: number): Promise<void> {
  return setTimeout(milliseconds, undefined, { ref: false });
}

function notReported(
  connection: SshConnection,
  command: Command,
  details: { after: string; exit?: Exit },
  stopped: boolean,
): SavepointError {
  const { target, isOver, why } = connection;
  const what = quoteWords(command.argv);
  if (isOver) return lost(target, what, why, details);
  if (!stopped) return lost(target, what, 'the server did not say how the command ended', details);
  return new SavepointError('host-lost', {
    message: `${command.argv[0]} was told to end, but ${targetName(target)} did not confirm that it did.`,
    details: { host: targetName(target), ...details },
  });
}
