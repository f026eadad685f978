import * as z from 'zod';
import { SavepointError } from '../../errors.ts';
import { hostNameProblem, userProblem } from '../../job/ssh-url.ts';
import { knownHostName } from '../known-hosts.ts';
import type { AskedFor } from '../ssh-config/asked.ts';
import type { BackendTarget } from '../target.ts';

/** What `open` of a backend may say. Made at the first answer: few hosts have a backend. */
function answerSchema() {
  /** One line: a second one would be another line of known_hosts. */
  const hostKey = z.string().regex(/^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]+={0,2}( [^\n\r]*)?$/);
  const endpoint = z.strictObject({
    host: z.string().refine((name) => hostNameProblem(name) === undefined),
    port: z.int().min(1).max(65_535).optional(),
    user: z
      .string()
      .refine((name) => userProblem(name) === undefined)
      .optional(),
    key: z.string().startsWith('/').optional(),
    hostKey: z.union([hostKey, z.array(hostKey).min(1)]).optional(),
    sudo: z.boolean().optional(),
  });
  return z.strictObject({ endpoint: endpoint.optional(), state: z.unknown().optional() });
}

type Endpoint = NonNullable<z.output<ReturnType<typeof answerSchema>>['endpoint']>;

/** What `open` of a backend said. */
export interface OpenAnswer {
  /** How the host is reached over SSH; undefined when the backend runs the commands itself. */
  asked: AskedFor | undefined;
  state: unknown;
}

/** Checks what a backend answered to `open`. @throws SavepointError `backend-failed` */
export function readOpenAnswer(said: unknown, { backend, login }: BackendTarget): OpenAnswer {
  const read = answerSchema().safeParse(said ?? {});
  if (!read.success) {
    const [issue] = read.error.issues;
    throw new SavepointError('backend-failed', {
      message: `The backend ${backend.use} answered open with something that is no endpoint.`,
      details: {
        backend: backend.use,
        field: issue?.path.join('.') || 'the answer',
        problem: issue?.message,
        allowed: '{ endpoint: { host, port, user, key, hostKey, sudo }, state }',
      },
    });
  }
  const { endpoint: found, state } = read.data;
  return { asked: found && askedFor(found, login), state };
}

function askedFor(
  { host, port, user, key, hostKey: keys, sudo }: Endpoint,
  { sshConfig: _read, ...login }: BackendTarget['login'],
): AskedFor {
  const { keyText, key: given, agent, ...rest } = login;
  const name = knownHostName(host, port ?? rest.port ?? 22);
  // A key of the endpoint's own stands in the place of all that the job has.
  const keysOfJob = {
    ...(keyText !== undefined && { keyText }),
    ...(given !== undefined && { key: given }),
    ...(agent !== undefined && { agent }),
  };
  return {
    ...rest,
    name: host,
    ...(port !== undefined && { port }),
    ...(user !== undefined && { user }),
    ...(sudo !== undefined && { sudo }),
    ...(key === undefined ? keysOfJob : { key }),
    ...(keys !== undefined && {
      knownHosts: [keys]
        .flat()
        .map((line) => `${name} ${line}`)
        .join('\n'),
      knownHostsFiles: [],
    }),
  };
}
