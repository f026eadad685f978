import { setTimeout as delay } from 'node:timers/promises';
import { SavepointError } from '../errors.ts';
import { ask, type GuardSite } from '../guard/client.ts';
import { type Answer, type Fields, scriptField } from '../guard/protocol.ts';
import { guardInUse } from '../guard/releases.ts';
import type { Host } from '../host/host.ts';
import { appliedFrom, begunFrom, decidedFrom } from './answers.ts';
import { overlayArchive } from './overlay-archive.ts';
import { startPhase } from './phase-process.ts';
import type {
  Applied,
  Begun,
  Change,
  Decided,
  PhaseCommand,
  PhaseProcess,
  Transaction,
  TransactionRecord,
} from './types.ts';

/** Seconds between two tries to begin on a host that another transaction holds. */
const LOCK_RETRY = 2;

/**
 * Takes up a transaction on its host, opened or not yet.
 * @param options.fence a later process (the post step) takes a higher number than the record's; from
 *   then on the earlier one is refused.
 * @throws SavepointError `guard-unavailable` when this version does not carry the record's guard.
 */
export function attach(
  record: TransactionRecord,
  host: Host,
  options: { fence?: number; signal?: AbortSignal } = {},
): Transaction {
  return new GuardedTransaction(
    { ...record, fence: options.fence ?? record.fence },
    host,
    options.signal,
  );
}

class GuardedTransaction implements Transaction {
  readonly record: TransactionRecord;
  readonly #site: GuardSite;
  readonly #signal: AbortSignal | undefined;

  constructor(record: TransactionRecord, host: Host, signal: AbortSignal | undefined) {
    this.record = record;
    this.#signal = signal;
    this.#site = {
      host,
      guard: guardInUse(record.guard.sha256),
      root: record.root,
      sudo: record.host.sudo,
    };
  }

  async begin(): Promise<Begun> {
    const { request } = this.record;
    const fields: Fields = [
      ['holder', request.holder],
      ['lease', String(request.lease)],
      ['deadline', String(request.deadline)],
      ['on_conflict', request.onConflict],
      ['degraded', request.degraded ? 'yes' : 'no'],
      ...request.track.map((path) => ['track', path] as const),
      ...request.refresh.map((script) => ['refresh', scriptField(script)] as const),
      ...request.probe.map((script) => ['probe', scriptField(script)] as const),
    ];
    const until = Date.now() + request.lockTimeout * 1000;
    for (;;) {
      try {
        return begunFrom(await this.#ask('begin', fields));
      } catch (error) {
        const busy = error instanceof SavepointError && error.name === 'host-busy';
        if (!busy || Date.now() + LOCK_RETRY * 1000 > until) throw error;
        await pause(LOCK_RETRY, this.#signal);
      }
    }
  }

  async apply(change: Change): Promise<Applied> {
    const archive = await overlayArchive(change.overlay);
    const remove = change.remove.map((path) => ['remove', path] as const);
    return appliedFrom(await this.#ask('apply', remove, archive));
  }

  exec(command: PhaseCommand): Promise<PhaseProcess> {
    return startPhase(this.#site, this.#credentials(), command);
  }

  async renew(): Promise<void> {
    await this.#ask('renew', []);
  }

  async running(phase: boolean): Promise<void> {
    await this.#ask('renew', [['running', phase ? 'yes' : 'no']]);
  }

  async commit(): Promise<Decided> {
    return decidedFrom(await this.#ask('commit', []));
  }

  async rollback(reason: string): Promise<Decided> {
    const words = reason
      .replace(/[^\x20-\x7e]+/g, ' ')
      .trim()
      .slice(0, 200);
    return decidedFrom(await this.#ask('rollback', [['reason', words || 'controller']]));
  }

  get login(): Host {
    return this.#site.host;
  }

  #credentials(): Fields {
    const { id, token, fence } = this.record;
    return [
      ['id', id],
      ['token', token],
      ['fence', String(fence)],
    ];
  }

  #ask(verb: string, fields: Fields, payload?: Buffer): Promise<Answer> {
    const all = [...this.#credentials(), ...fields];
    return ask(this.#site, verb, all, payload && (() => payload));
  }
}

/** Waits, unless the signal ends it: then its reason is thrown, which is why nobody waits any more. */
async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(seconds * 1000, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
