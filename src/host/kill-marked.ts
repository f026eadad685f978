import type { Command } from './host.ts';
import { killGrace, markVariable } from './processes.ts';

/** Milliseconds to find and end what carries a mark, on a slow host with many processes. */
export const searchLimit = killGrace + 5000;

/**
 * Ends everything on the host that carries the mark in its environment: TERM, after a grace
 * KILL, and exits with 0 when all are gone. It needs nothing but POSIX tools and Linux' /proc,
 * and looks again before each round, for trees that still grow. One pass over all environments
 * finds candidates; each is then looked at by itself, since what a process has in its
 * environment could imitate the header of another's. `tr` is there because not every grep and
 * awk can read NUL bytes.
 */
const script = `
marked() {
  head -n 100000 /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' |
    awk -v mark="$1" '$1 == "==>" { file = $2 } $0 == mark { print file }' |
    while read -r environ; do
      if { tr '\\000' '\\n' <"$environ" | grep -qxF "$1"; } 2>/dev/null; then
        pid=\${environ#/proc/}
        echo "\${pid%/environ}"
      fi
    done
}
tell() { for pid in $(marked "$2"); do kill -s "$1" "$pid" 2>/dev/null; done; }
nap() { sleep 0.1 2>/dev/null || sleep 1; }
tell TERM "$1"
round=0
while [ -n "$(marked "$1")" ]; do
  [ "$round" -lt "$2" ] || tell KILL "$1"
  [ "$round" -lt "$(($2 + 10))" ] || exit 1
  round=$((round + 1))
  nap
done
`;

/** The command that does it. */
export function killCommand(mark: string): Command {
  const roundsUntilKill = String(killGrace / 100);
  return { argv: ['sh', '-c', script, 'sh', `${markVariable}=${mark}`, roundsUntilKill] };
}
