/**
 * The order of durable steps, read from the tracer's log of an undisturbed verb. It holds what no
 * sweep can see, because what it would spoil heals itself or has long been on the disk.
 */
interface Call {
  name: string;
  path: string;
  to: string;
}

export function parseLog(log: string): Call[] {
  return log
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, , , name = '', path = '', to = ''] = line.split('\t');
      return { name, path: tidy(path), to: tidy(to) };
    });
}

function tidy(path: string): string {
  return path.replaceAll(/\/(\.?\/)+/g, '/').replace(/\/$/, '');
}

const isRename = (call: Call) => call.name.startsWith('rename');
const isSync = (call: Call) => /^(fsync|fdatasync|syncfs|sync)$/.test(call.name);
const writes = (call: Call) =>
  /^(write|pwrite64|copy_file_range|openat|ftruncate)$/.test(call.name);

/** Whether a sync between two moments makes `path` durable: of itself, or of its file system. */
function flushed(calls: Call[], from: number, until: number, path: string): boolean {
  const dir = path.slice(0, path.lastIndexOf('/'));
  return calls.slice(from, until).some((call) => {
    if (!isSync(call)) return false;
    if (call.name === 'sync') return true;
    return call.name === 'syncfs' ? near(call.path, path) : call.path === path || call.path === dir;
  });
}

/** syncfs of anything in the state directory does for the state, of anything else for the rest. */
function near(a: string, b: string): boolean {
  return a.includes('/var/lib/savepoint') === b.includes('/var/lib/savepoint');
}

/** What is out of order in begin, apply, commit or rollback; nothing when all is as it should be. */
export function orderProblems(log: string): string[] {
  const calls = parseLog(log);
  const found: string[] = [];
  const at = (test: (call: Call) => boolean) => calls.findIndex(test);
  const last = (test: (call: Call) => boolean) => calls.findLastIndex(test);
  for (const [index, call] of calls.entries()) {
    const marker = isRename(call) && /\/(open|armed|outcome|quarantine)$/.exec(call.to)?.[1];
    if (marker) {
      const written = last((c) => writes(c) && c.path === call.path);
      if (!flushed(calls, written, index, call.path))
        found.push(`${marker} is renamed before it is synced`);
      if (!flushed(calls, index, calls.length, call.to))
        found.push(`the name ${marker} is not synced`);
    }
    if (isRename(call) && /\/\.savepoint\.[^/]*\//.test(call.path) && !/\.aside\./.test(call.to)) {
      const written = last((c) => writes(c) && c.path === call.path);
      if (written < index && !flushed(calls, Math.max(0, written), index, call.to)) {
        found.push(`${call.to} is renamed into place before it is synced`);
      }
    }
  }
  const armed = at((c) => isRename(c) && c.to.endsWith('/armed'));
  const backup = last((c) => writes(c) && c.path.endsWith('/backup.tar'));
  if (armed >= 0) {
    if (!flushed(calls, backup, armed, calls[backup]?.path ?? ''))
      found.push('armed before the backup is synced');
    if (!flushed(calls, 0, armed, '/etc/anything'))
      found.push('armed before the originals are synced');
  }
  const decided = at((c) => c.name.startsWith('link') && c.to.endsWith('/decision'));
  if (decided >= 0) {
    const source = calls[decided]?.path ?? '';
    const written = last((c) => writes(c) && c.path === source);
    if (!flushed(calls, written, decided, source))
      found.push('decision is linked before it is synced');
    if (!flushed(calls, decided, calls.length, calls[decided]?.to ?? '')) {
      found.push('the name decision is not synced');
    }
  }
  const outcome = at((c) => isRename(c) && c.to.endsWith('/outcome'));
  const placed = calls.findLastIndex(
    (c, n) => n < outcome && isRename(c) && c.path.includes('/.savepoint.'),
  );
  if (outcome >= 0 && placed >= 0 && !flushed(calls, placed, outcome, '/etc/anything')) {
    found.push('outcome before the restored paths are synced');
  }
  return [...new Set(found)];
}
