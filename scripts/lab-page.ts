/** One measured way of losing the controller or the host. */
export interface Loss {
  readonly what: string;
  /** From the loss to the outcome that the host recorded, its verification included. */
  readonly seconds: number;
  /** What the time is made of, such as the lease. */
  readonly of: string;
}

/** What one run of the scenarios measured, and where. */
export interface LabTimes {
  /** Day of the run, UTC. */
  readonly date: string;
  readonly guard: { readonly version: string; readonly sha256: string };
  readonly machine: string;
  /** Load average over a minute at the end: how busy the machine was. */
  readonly load: number;
  readonly losses: readonly Loss[];
}

/** The losses as a table, a line each. */
export function lossRows(losses: readonly Loss[]): string[] {
  const cells = losses.map(
    ({ what, seconds, of }) => `| ${what} | ${seconds.toFixed(1)} | ${of} |`,
  );
  return ['| lost | restored after (s) | of which |', '| --- | --- | --- |', ...cells];
}

/** docs/lab.md, from what docs/lab.json has recorded. */
export function labPage(made: string, times: LabTimes): string {
  const { date, guard, machine, load, losses } = times;
  return `\
# Hosts that lose their controller, their network or their power

${made}

Each row is a scenario of [test/lab](../test/lab) on a whole machine: a Debian 12 with systemd, logind
(\`KillUserProcesses=yes\`), sshd and sudo, booted for it by systemd-nspawn, or on a kernel of its own
where the date is set. The time is from the loss to the outcome that the host itself recorded, with
the restored files verified; nobody helped. What the host waits for before is in the last column; the
lease is 120 s unless a job says otherwise. Times are data here: no scenario passes or fails by one.

${lossRows(losses).join('\n')}

Run on ${date} with guard ${guard.version} (sha256:${guard.sha256}) on ${machine}, load ${load}.
Again, on any machine: \`npm run lab\`.
`;
}
