import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile, realpath } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { SavepointError, sentenceOf } from '../../errors.ts';
import type { BackendUse } from '../target.ts';
import { type Backend, type BackendModule, optionalVerbs } from './backend.ts';
import { executableBackend } from './executable.ts';

/** Whether a backend's file is an ES module; anything else is a program. */
export const isModule = (file: string): boolean => /\.[mc]?js$/.test(file);

/** The file of a backend, and what tells whether it is still the same. @throws `backend-bad` */
export async function inspectBackend(use: string): Promise<{ use: string; sha256: string }> {
  try {
    const file = await realpath(use);
    if (!isModule(file)) await access(file, constants.X_OK);
    return { use: file, sha256: await digestOf(file) };
  } catch (cause) {
    throw bad(use, `cannot be used: ${sentenceOf(cause)}`, cause);
  }
}

/**
 * Loads a backend: an ES module (`.mjs`, `.js`) into this process, anything else as a program.
 * @throws SavepointError `backend-bad`; `backend-failed` when its file is another than when it was
 *   chosen
 */
export async function loadBackend({ use, sha256 }: BackendUse): Promise<Backend> {
  const now = await digestOf(use).catch(() => 'none');
  if (now !== sha256) {
    throw new SavepointError('backend-failed', {
      message: `The backend ${use} is not what it was when the run began, so it is not run.`,
      details: { backend: use, found: now, allowed: sha256 },
      hint: 'What it opened is still there: close it by hand.',
    });
  }
  return isModule(use) ? moduleBackend(use) : executableBackend(use);
}

async function moduleBackend(use: string): Promise<Backend> {
  let module: Partial<BackendModule>;
  try {
    const loaded: { default?: Partial<BackendModule> } & Partial<BackendModule> = await import(
      pathToFileURL(use).href
    );
    module = loaded.open ? loaded : (loaded.default ?? {});
  } catch (cause) {
    throw bad(use, `cannot be loaded: ${sentenceOf(cause)}`, cause);
  }
  const { open, connect } = module;
  if (typeof open !== 'function') throw bad(use, 'does not export the function open');
  return {
    capabilities: async () => [
      ...optionalVerbs.filter((verb) => typeof module[verb] === 'function'),
      ...(connect ? ['run'] : []),
    ],
    call: async (verb, request) => module[verb]?.(request),
    ...(connect && { connect: async (request) => connect(request) }),
  };
}

async function digestOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

function bad(use: string, what: string, cause?: unknown): SavepointError {
  return new SavepointError('backend-bad', {
    message: `The backend ${use} ${what}.`,
    place: { field: 'host.use' },
    details: { found: use, allowed: 'an ES module (.mjs, .js) or an executable' },
    cause,
  });
}
