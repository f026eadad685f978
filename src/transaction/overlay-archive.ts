import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { OverlayEntry } from '../job/job.ts';

/**
 * The archive that `apply` reads: names without the leading slash, owned by root, modes 0644,
 * or 0755 for directories and what is executable. A file that replaces one on the host keeps that
 * one's owner and mode; these are for new ones. Times are those of the host.
 */
export async function overlayArchive(entries: readonly OverlayEntry[]): Promise<Buffer> {
  const archive = pack();
  const bytes = buffer(archive);
  for (const entry of entries) {
    const name = entry.path.slice(1);
    const common = { name, mtime: new Date(0), uid: 0, gid: 0 };
    if (entry.kind === 'directory') {
      archive.entry({ ...common, type: 'directory', mode: 0o755 });
    } else if (entry.kind === 'symlink') {
      archive.entry({ ...common, type: 'symlink', linkname: entry.target ?? '' });
    } else {
      archive.entry(
        { ...common, mode: entry.executable ? 0o755 : 0o644 },
        readFileSync(entry.source),
      );
    }
  }
  archive.finalize();
  return await bytes;
}
