import { afterAll, beforeAll } from 'vitest';
import { openHost } from '../../src/host/open.ts';
import { describeHost } from './conformance.ts';
import { type Sshd, startSshd } from './sshd.ts';

const servers = new Map<string, Sshd>();
const isRoot = process.getuid?.() === 0;

beforeAll(async () => {
  servers.set('self', await startSshd());
  if (isRoot) servers.set('lab', await startSshd({ user: 'lab', config: ['MaxSessions 3'] }));
});
afterAll(async () => {
  for (const sshd of servers.values()) await sshd.stop();
});

const open = (user: string) => {
  const sshd = servers.get(user);
  if (!sshd) throw new Error(`No sshd was started for ${user}.`);
  return openHost(sshd.config());
};

const drop = (user: string) => () => servers.get(user)?.dropSessions();

describeHost('ssh', () => open('self'), { drop: drop('self') });

// Unlike for root, OpenSSH sends signals here; and few commands go over one connection.
if (isRoot) describeHost('ssh as a user without rights', () => open('lab'), { drop: drop('lab') });
