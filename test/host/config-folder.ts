import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { resolveTarget } from '../../src/host/ssh-config/resolve.ts';
import { localUser } from '../../src/host/ssh-config/tokens.ts';
import type { SshTarget } from '../../src/host/ssh-target.ts';

/** OpenSSH takes the home from the user database, whatever HOME says. */
export const local = { ...localUser(), home: userInfo().homedir };

/** Configuration files in a temporary folder, as long as the tests of one file run. */
export function configFolder() {
  let folder = '';
  let files = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'savepoint-ssh-config-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  return {
    get path() {
      return folder;
    },
    /** Writes a file, with the folder in the place of FOLDER. */
    async write(text: string): Promise<string> {
      const path = join(folder, `config-${++files}`);
      await writeFile(path, text.replaceAll('FOLDER', folder));
      return path;
    },
    /** What the file says about a host. */
    read: (path: string, name: string): Promise<SshTarget> =>
      resolveTarget(
        { name, sudo: false },
        { local, files: [{ path, includeFolder: folder, required: true }] },
      ),
  };
}
