import { randomBytes } from 'node:crypto';
import { ask, type GuardSite, siteFields } from '../guard/client.ts';
import { type Answer, encodeRequest, type Fields, firstOf } from '../guard/protocol.ts';
import type { HostShell } from '../host/shell.ts';
import { change, removed, tracked } from './world.ts';

/** The verbs of a transaction that are rehearsed, and killed. */
export const rehearsed = ['begin', 'apply', 'commit', 'rollback'] as const;
export type Rehearsed = (typeof rehearsed)[number];

/** One transaction of the guard under rehearsal, below its scratch root. */
export class Life {
  readonly #site: GuardSite;
  readonly #degraded: boolean;
  readonly #credentials: Fields = [
    ['id', `rehearsal-${randomBytes(6).toString('hex')}`],
    ['token', randomBytes(32).toString('hex')],
    ['fence', '1'],
  ];

  constructor(site: GuardSite, degraded: boolean) {
    this.#site = site;
    this.#degraded = degraded;
  }

  /** @throws SavepointError what the guard answers. */
  async run(verb: Rehearsed): Promise<Answer> {
    const payload = verb === 'apply' ? await change() : undefined;
    return ask(this.#site, verb, this.#fields(verb), payload && (() => payload));
  }

  /** The verbs before this one. */
  async runUpTo(verb: Rehearsed): Promise<void> {
    if (verb === 'begin') return;
    await this.run('begin');
    if (verb !== 'apply') await this.run('apply');
  }

  /** Runs a verb on the host and tells how many milliseconds it takes there, to ten. */
  async measure(shell: HostShell, verb: Rehearsed): Promise<number> {
    return Number(await this.#onHost(shell, verb, measured)) * 10;
  }

  /**
   * Starts a verb on the host and kills it with all its processes after so many milliseconds. The
   * transaction's watchdog is halted just before, so that it cannot repair what is to be looked at,
   * until `resumeWatchdog`.
   * @returns false when it had ended before.
   */
  async runAndKill(shell: HostShell, verb: Rehearsed, after: number): Promise<boolean> {
    const seconds = (after / 1000).toFixed(3);
    return (await this.#onHost(shell, verb, killed, seconds)).trim() === 'killed';
  }

  /** Lets the watchdog go on, if it was halted. */
  async resumeWatchdog(shell: HostShell): Promise<void> {
    await shell.run(resumed, [this.#site.root]);
  }

  /** How the transaction ended, as the guard's own record has it; nothing while it has not. */
  async outcome(shell: HostShell): Promise<string> {
    const file = `${this.#site.root}/var/lib/savepoint/tx/${firstOf(this.#credentials, 'id')}/outcome`;
    return (await shell.run('[ ! -e "$1" ] || cat "$1"', [file])).trim();
  }

  async #onHost(
    shell: HostShell,
    verb: Rehearsed,
    script: string,
    ...words: string[]
  ): Promise<string> {
    const request = Buffer.concat([
      Buffer.from(encodeRequest([...this.#fields(verb), ...siteFields(this.#site)])),
      ...(verb === 'apply' ? [await change()] : []),
    ]);
    const { root, guard } = this.#site;
    const path = `${root}/var/lib/savepoint/guard/${guard.sha256}/guard`;
    return shell.run(script, [root, path, verb, ...words], request);
  }

  #fields(verb: Rehearsed): Fields {
    if (verb === 'apply') {
      return [...this.#credentials, ...removed.map((path) => ['remove', path] as const)];
    }
    if (verb !== 'begin') return this.#credentials;
    return [
      ...this.#credentials,
      ['holder', 'savepoint guard check'],
      ['degraded', this.#degraded ? 'yes' : 'no'],
      ...tracked.map((path) => ['track', path] as const),
    ];
  }
}

// Hundredths of a second, as the kernel has them.
const measured = `
cat >"$1/request"
read -r from _ </proc/uptime
/bin/sh "$2" "$3" <"$1/request" >/dev/null 2>&1 || :
read -r to _ </proc/uptime
rm -f "$1/request"
echo $((\${to%.*}\${to#*.} - \${from%.*}\${from#*.}))
`;

// The verb leads a process group of its own: where a shell starts something in the background
// and has no job control, setsid need not fork, so $! is its leader.
//
// It is stopped before it is killed, so that it gets no further while the watchdog is looked for:
// among the processes whose words name the transaction. That name comes as a file, or this shell and
// its grep would have it among their words; and not as -F, with which the grep of busybox sees the
// first word only. A watchdog that saw the decision has made a process that waits for the verb to end
// and then restores, and may be making it now: all are halted once a look finds no more than the one
// before. One that has become a `sleep` meanwhile is found no more, but has to go on as well, so the
// list of the halted only grows.
const killed = `
cat >"$1/request"
sed -n -e 's/^id \\(..*\\)/\\1/p' -e '/^$/q' "$1/request" >"$1/id"
setsid /bin/sh "$2" "$3" <"$1/request" >/dev/null 2>&1 &
pid=$!
sleep "$4"
kill -STOP "-$pid" 2>/dev/null || :
halted=
while now=$(grep -l -f "$1/id" /proc/[0-9]*/cmdline 2>/dev/null); [ "$now" != "$halted" ]; do
  halted=$now
  echo "$halted" >>"$1/halted"
  for one in $halted; do
    one=\${one#/proc/}
    kill -STOP "\${one%/cmdline}" 2>/dev/null || :
  done
done
if kill -9 "-$pid" 2>/dev/null; then echo killed; else echo over; fi
wait $pid 2>/dev/null || :
rm -f "$1/request" "$1/id"
`;

const resumed = `
[ -e "$1/halted" ] || exit 0
while read -r one; do
  one=\${one#/proc/}
  kill -CONT "\${one%/cmdline}" 2>/dev/null || :
done <"$1/halted"
rm -f "$1/halted"
`;
