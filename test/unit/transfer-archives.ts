import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { type Header, pack as tarStream } from 'tar-stream';
import { Extractor, type Limits } from '../../src/transfer/extract.ts';
import { pack } from '../../src/transfer/pack.ts';
import { TarReader } from '../../src/transfer/tar-reader.ts';
import type { Source } from '../../src/transfer/walk.ts';

/** One entry of an archive as a host that means harm would make it: by another program than ours. */
export type Entry = Partial<Header> & { name: string; text?: string };

export function archiveOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = tarStream();
  const bytes = buffer(archive);
  for (const { text = '', ...header } of entries) archive.entry(header, text);
  archive.finalize();
  return bytes;
}

export interface Extracting {
  folder: string;
  limits?: Partial<Limits>;
  strip?: string;
  /** Bytes of each piece in which the archive arrives. */
  piece?: number;
}

/** Extracts an archive; throws what the extractor does. */
export function extract(
  archive: Buffer,
  { folder, limits, strip, piece = 1000 }: Extracting,
): Extractor {
  using extractor = new Extractor({
    folder,
    limits: { size: 1024 * 1024, entries: 100, ...limits },
    ...(strip !== undefined && { strip }),
  });
  const reader = new TarReader(extractor);
  for (let at = 0; at < archive.length; at += piece) reader.push(archive.subarray(at, at + piece));
  reader.end();
  return extractor;
}

/** The whole archive of local files. */
export function packed(sources: readonly Source[]): Buffer {
  return Buffer.concat([...pack(sources, { entries: 0, bytes: 0 })]);
}

/**
 * Everything below a folder by its name (one character a byte): kind, permission bits, and content
 * or target. Whole seconds of the times of files.
 */
export function treeOf(folder: string): Record<string, string> {
  const tree: Record<string, string> = {};
  const walk = (path: Buffer, above: string): void => {
    for (const name of readdirSync(path, 'latin1').sort()) {
      const inner = Buffer.concat([path, Buffer.from(`/${name}`, 'latin1')]);
      const stats = lstatSync(inner);
      const mode = (stats.mode & 0o7777).toString(8);
      const key = above + name;
      if (stats.isDirectory()) {
        tree[`${key}/`] = `directory ${mode}`;
        walk(inner, `${key}/`);
      } else if (stats.isSymbolicLink()) {
        tree[key] = `link ${readlinkSync(inner, 'latin1')}`;
      } else {
        const time = Math.floor(stats.mtimeMs / 1000);
        const text = readFileSync(inner, 'latin1');
        const content = text.length > 2000 ? createHash('sha256').update(text).digest('hex') : text;
        tree[key] = `file ${mode} ${time} ${content}`;
      }
    }
  };
  walk(Buffer.from(folder), '');
  return tree;
}
