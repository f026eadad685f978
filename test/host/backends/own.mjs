// A backend whose host is a folder of this machine, and which runs the commands itself.
import { existsSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocal } from '../../../src/host/local.ts';

const folderOf = (id) => join(tmpdir(), `own-${id}`);

export default {
  open: async ({ id, with: { files } }) => {
    await mkdir(folderOf(id));
    if (files) await cp(files, folderOf(id), { recursive: true });
    return { state: { folder: folderOf(id) } };
  },
  connect: async ({ state }) => {
    if (!existsSync(state.folder)) throw new Error('the folder is gone');
    return openLocal();
  },
  close: ({ id }) => rm(folderOf(id), { recursive: true, force: true }),
};
