import { SavepointError } from '../errors.ts';
import { capture } from '../host/capture.ts';
import { asJobUser, type Login } from './login.ts';

/** Says where a work directory could be, and that files can be transferred. Writes nothing. */
const PROBE = `
for tool in tar mkdir rm chmod du; do
  command -v "$tool" >/dev/null || { echo "there is no $tool" >&2; exit 1; }
done
for dir in "\${TMPDIR:-/var/tmp}" /var/tmp /tmp; do
  case $dir in /*) ;; *) continue ;; esac
  dir=$(cd -P "$dir" 2>/dev/null && pwd -P) && [ -w "$dir" ] || continue
  printf '\\nsavepoint-work %s\\n' "$dir"
  exit
done
echo 'nothing can be written to in TMPDIR, /var/tmp or /tmp' >&2
exit 1`;

/** Nobody else's: `mkdir` fails when there is such a thing already, a link included. */
const MAKE = 'umask 077; mkdir "$1"';

/** A phase may have taken its own rights away. */
const REMOVE = 'rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1"; rm -rf "$1"; }';

/**
 * Finds the place of a transaction's work directory, before anything on the host is changed.
 * @param id of the transaction
 * @throws SavepointError `transfer-refused` when the login cannot run what a transfer takes.
 */
export async function findWorkDir(login: Login, id: string): Promise<string> {
  const { exit, stdout, stderr } = await capture(login.run({ argv: asJobUser(PROBE, []) }));
  const [, folder] = /^savepoint-work (\/[^\p{Cc}]*)$/mu.exec(stdout) ?? [];
  if (exit.code === 0 && folder !== undefined) {
    return `${folder === '/' ? '' : folder}/savepoint-${id}`;
  }
  const said = stderr.trim().split('\n').at(-1) || stdout.trim().split('\n').at(-1);
  const restricted = exit.code === 0 || said?.startsWith('savepoint gate:');
  throw new SavepointError('transfer-refused', {
    message: restricted
      ? `The login on ${login.name} runs the guard alone, so it can transfer no files.`
      : `The login on ${login.name} cannot transfer files: ${said || `exit ${exit.code ?? exit.signal}`}`,
    details: { host: login.name, ...(said && { said: said.slice(0, 500) }) },
    hint: restricted
      ? 'Use a login without a forced command, or leave out `attachments` and `artifacts`.'
      : 'The host needs tar, mkdir, rm, chmod and du, and a directory to write to.',
  });
}

/** @throws SavepointError `transfer-failed` */
export async function makeWorkDir(login: Login, path: string): Promise<void> {
  await must(login, MAKE, path, 'made');
}

/** @throws SavepointError `transfer-failed` */
export async function removeWorkDir(login: Login, path: string): Promise<void> {
  await must(login, REMOVE, path, 'removed');
}

async function must(login: Login, script: string, path: string, done: string): Promise<void> {
  const { exit, stderr } = await capture(login.run({ argv: asJobUser(script, [path]) }));
  if (exit.code === 0) return;
  const said = stderr.trim().split('\n').at(-1) || `exit ${exit.code ?? exit.signal}`;
  throw new SavepointError('transfer-failed', {
    message: `The work directory ${path} cannot be ${done}: ${said}`,
    details: { host: login.name, path },
  });
}
