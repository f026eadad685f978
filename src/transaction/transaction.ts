import { setTimeout as delay } from 'node:timers/promises';
import { SavepointError } from '../errors.ts';
import { ask, type GuardSite } from '../guard/client.ts';
import { type Answer, type Fields, firstOf, scriptField } from '../guard/protocol.ts';
import { guardInUse } from '../guard/releases.ts';
import type { Host } from '../host/host.ts';
import { appliedFrom, begunFrom, decidedFrom } from './answers.ts';
import { explained } from './fate.ts';
import { type Attempts, Link } from './link.ts';
import { News } from './news.ts';
import { overlayArchive } from './overlay-archive.ts';
import { startPhase } from './phase-process.ts';
import { type Booted, exitOf } from './reboot.ts';
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
  readonly news = new News();
  readonly #site: GuardSite;
  readonly #signal: AbortSignal | undefined;
  readonly #link: Link;
  /** The host's boot as it was last told; undefined until then. */
  #boot: string | undefined;
  /** Asked once the host says that the transaction is over, though it was open for us. */
  #fate: Promise<Decided> | undefined;

  constructor(record: TransactionRecord, host: Host, signal: AbortSignal | undefined) {
    this.record = record;
    this.#signal = signal;
    this.#site = {
      host,
      guard: guardInUse(record.guard.sha256),
      root: record.root,
      sudo: record.host.sudo,
    };
    this.#link = new Link({
      lease: record.request.lease,
      probe: () => this.#renew(),
      news: this.news,
      name: host.name,
    });
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
    let told = false;
    for (;;) {
      try {
        const begun = begunFrom(await this.#ask('begin', fields));
        this.#lives(begun.bootId);
        return begun;
      } catch (error) {
        const busy = error instanceof SavepointError && error.name === 'host-busy';
        if (!busy || Date.now() + LOCK_RETRY * 1000 > until) throw error;
        const { lockTimeout: patience } = request;
        if (!told) this.news.push({ kind: 'host_busy', reason: error.reason, patience });
        told = true;
        await pause(LOCK_RETRY, this.#signal);
      }
    }
  }

  async apply(change: Change): Promise<Applied> {
    const archive = await overlayArchive(change.overlay);
    const remove = change.remove.map((path) => ['remove', path] as const);
    const asked = () => this.#ask('apply', remove, archive);
    return appliedFrom(await this.#over(asked, { repeatable: false }));
  }

  async exec(command: PhaseCommand, signal?: AbortSignal): Promise<PhaseProcess> {
    // Without the boot before, no other could be told from it.
    if (command.reboot !== undefined && this.#boot === undefined) await this.renew();
    const host: Booted = {
      name: this.#site.host.name,
      before: this.#boot,
      now: async () => {
        await this.renew();
        return this.#boot;
      },
      pause: () => delay(1000),
    };
    const away = this.#link.allowAway(command.reboot ?? 0);
    const end = () => away[Symbol.dispose]();
    try {
      const starting = startPhase(this.#site, this.#credentials(), command, this.#link, signal);
      const process = await this.#explained(starting);
      const exit = this.#explained(process.exit).then((word) => exitOf(word, command, host));
      exit.then(end, end);
      return { ...process, exit };
    } catch (error) {
      end();
      throw error;
    }
  }

  async renew(): Promise<void> {
    await this.#over(() => this.#renew());
  }

  async running(phase: boolean): Promise<void> {
    await this.#over(() => this.#ask('renew', [['running', phase ? 'yes' : 'no']]));
  }

  async commit(): Promise<Decided> {
    return decidedFrom(await this.#link.again(() => this.#ask('commit', [])));
  }

  async rollback(reason: string): Promise<Decided> {
    const words = reason
      .replace(/[^\x20-\x7e]+/g, ' ')
      .trim()
      .slice(0, 200);
    const fields: Fields = [['reason', words || 'controller']];
    return decidedFrom(await this.#link.again(() => this.#ask('rollback', fields)));
  }

  /** One sign of life, over the connection as it is. */
  async #renew(): Promise<void> {
    const { fields } = await this.#ask('renew', []);
    this.#lives(firstOf(fields, 'boot'));
  }

  #lives(boot: string | undefined): void {
    this.#link.renewed();
    // A guard before 1.1.0 does not say.
    this.#boot = boot ?? this.#boot ?? '';
  }

  /** Something that an open transaction is asked, over the link. */
  #over<T>(attempt: () => Promise<T>, attempts?: Attempts): Promise<T> {
    return this.#explained(this.#link.again(attempt, attempts));
  }

  /** Where the host says that the transaction is over, the error tells who ended it. */
  async #explained<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      const wasOpen = this.#boot !== undefined;
      if (!wasOpen || !(error instanceof SavepointError && error.name === 'not-open')) throw error;
      this.#fate ??= this.rollback('the host had ended it');
      throw await explained(error, this.#fate, this.record.request.lease);
    }
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
