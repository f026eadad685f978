import { resolve } from 'node:path';
import { type Cancellation, onSignals } from '../ci/signals.ts';
import { SavepointError } from '../errors.ts';
import { type HostTarget, withKeyText } from '../host/target.ts';
import type { Flags } from '../job/flags.ts';
import { restartOf } from '../run/backend.ts';
import { type Connection, connect } from '../run/connect.ts';
import { masker } from '../run/mask.ts';
import type { Run } from '../run/phases.ts';
import { backendOptions } from './backend-options.ts';
import { type Io, screenOf } from './io.ts';
import { maskedVariables } from './options.ts';
import type { SplitState } from './state-file.ts';

/** Options of the commands that take up a transaction of the split form. */
export interface SplitFlags extends Flags {
  state?: string;
  json?: boolean;
  key?: string;
  keyEnv?: string;
  agent?: string;
}

/** A run taken up by this process; signals and the connection end with it. */
export interface TakenUp extends AsyncDisposable {
  run: Run;
}

export interface TakeUpOptions {
  /** One above the record's makes every process before this one a stranger to the host. */
  fence: number;
  signals?: Cancellation;
  /** What becomes of a host that does not answer, where a backend can restart it. */
  away?: 'fail' | 'restart';
}

/**
 * Takes up a recorded run.
 * @throws SavepointError `key-missing`, `bad-usage`.
 */
export async function takeUp(
  state: SplitState,
  flags: SplitFlags,
  io: Io,
  { fence, signals, away = 'fail' }: TakeUpOptions,
): Promise<TakenUp> {
  const { record, job } = state;
  const host = hostWithKey(state, flags, io);
  const screen = screenOf(io, flags.json);
  const cancellation = signals ?? onSignals((message) => screen.line(message));
  const key = host.type === 'ssh' ? host.keyText : undefined;
  const secrets = [...(key ? [key] : []), ...maskedVariables(flags.maskEnv, io.env), record.token];
  const masked = masker(secrets);
  const backend = state.backend && { use: state.backend, options: backendOptions(screen, masked) };
  const connection: Connection = await connect(record, {
    host,
    fence,
    passphrase: io.env.SAVEPOINT_KEY_PASSPHRASE,
    ...(away === 'restart' ? restartOf(backend) : {}),
  });
  return {
    run: {
      job,
      transaction: connection.transaction,
      controller: connection.controller,
      output: state.output,
      masker: masked,
      ledger: state.ledger,
      ...(backend && { backend }),
      cancel: cancellation.cancel,
      abandon: cancellation.abandon,
    },
    [Symbol.asyncDispose]: async () => {
      cancellation[Symbol.dispose]();
      await connection[Symbol.asyncDispose]();
    },
  };
}

/**
 * The host of a recorded transaction, with the key to log in with: CIs give it another path, or only a
 * variable, in each of their sections.
 * @throws SavepointError `key-missing`.
 */
export function hostWithKey({ record, keyEnv }: SplitState, flags: SplitFlags, io: Io): HostTarget {
  const { host } = record;
  if (host.type !== 'ssh') return host;
  const agent = flags.agent === 'true' ? io.env.SSH_AUTH_SOCK : flags.agent;
  const reached = { ...host, ...(agent !== undefined && { agent }) };
  if (flags.key !== undefined) return { ...reached, key: resolve(flags.key) };
  const name = flags.keyEnv ?? keyEnv;
  if (name === undefined) return reached;
  const keyText = io.env[name];
  if (keyText) return withKeyText(reached, keyText);
  throw new SavepointError('key-missing', {
    message: `The variable ${name}, which had the SSH key at begin, is not set.`,
    details: { allowed: '--key FILE or --key-env NAME' },
  });
}
