import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import { openHost } from '../../src/host/open.ts';
import type { ConfigProgram } from '../../src/host/ssh-config/problem.ts';
import { resolveTarget } from '../../src/host/ssh-config/resolve.ts';
import { configFolder, local } from './config-folder.ts';
import { startRelay } from './relay.ts';
import { makeKey, type Sshd, startSshd } from './sshd.ts';

const folder = configFolder();
let hops: Sshd[];
let target: Sshd;
beforeAll(async () => {
  const [one, two, three, last] = await Promise.all([
    startSshd(),
    startSshd({ clientKey: 'ecdsa', hostKeys: ['ecdsa'] }),
    startSshd({ hostKeys: ['rsa'] }),
    startSshd(),
  ]);
  hops = [one, two, three];
  target = last;
});
afterAll(() => Promise.all([...hops, target].map((sshd) => sshd.stop())));

const hop = (index: number): Sshd => {
  const found = hops[index];
  if (!found) throw new RangeError(`There is no hop ${index}.`);
  return found;
};
/** A block of ssh_config for a server that is started here. */
const block = (name: string, sshd: Sshd, more = '') => `Host ${name}
  HostName 127.0.0.1
  Port ${sshd.port}
  User ${sshd.user}
  IdentityFile ${sshd.keyPath}
  IdentitiesOnly yes
  UserKnownHostsFile ${sshd.knownHostsFile}
  ${more}
`;
const chain = (jump: string) =>
  [
    block('one', hop(0)),
    block('two', hop(1)),
    block('three', hop(2)),
    block('device', target, `ProxyJump ${jump}`),
  ].join('');

async function resolve(text: string, allow: ConfigProgram[] = []) {
  const path = await folder.write(`${text}\nHost *\n GlobalKnownHostsFile none\n`);
  return resolveTarget(
    { name: 'device', sudo: false },
    { local, allow, files: [{ path, includeFolder: folder.path }] },
  );
}
async function greet(text: string, allow: ConfigProgram[] = []): Promise<string> {
  await using host = await openHost(await resolve(text, allow));
  return (await capture(host.run({ argv: ['sh', '-c', 'echo "$SSH_CONNECTION"'] }))).stdout;
}

describe('a host behind others', () => {
  test('is reached through three jumps, each with its own key and host key', async () => {
    const connection = await greet(chain('one,two,three'));
    expect(connection).toContain(` ${target.port}\n`);
    for (const sshd of hops) expect(sshd.logs()).toContain('Accepted publickey');
  });

  test('is reached when the first jump needs a jump itself', async () => {
    const text = block('one', hop(0)) + block('two', hop(1), 'ProxyJump one');
    expect(await greet(text + block('device', target, 'ProxyJump two'))).toContain(
      ` ${target.port}\n`,
    );
  });

  test('carries many commands and many bytes at the same time', async () => {
    await using host = await openHost(await resolve(chain('one,two,three')));
    const sizes = Array.from({ length: 12 }, (_, index) => index * 300_000);
    const outputs = await Promise.all(
      sizes.map((size) => capture(host.run({ argv: ['head', '-c', `${size}`, '/dev/zero'] }))),
    );
    expect(outputs.map(({ stdout }) => stdout.length)).toEqual(sizes);
  });

  test('is not reached when the key of a host on the way is not known; that one is named', async () => {
    const stranger = `${chain('one,two,three')}`.replace(
      hop(1).knownHostsFile,
      hop(0).knownHostsFile,
    );
    await expect(greet(stranger)).rejects.toMatchObject({
      name: 'host-key-unknown',
      details: { host: `${hop(1).user}@127.0.0.1:${hop(1).port}` },
    });
  });

  test('is not reached when a host on the way refuses the key; that one is named', async () => {
    const text = chain('one,two').replace(hop(1).keyPath, hop(0).keyPath);
    await expect(greet(text)).rejects.toMatchObject({
      name: 'host-auth-failed',
      details: { host: `${hop(1).user}@127.0.0.1:${hop(1).port}` },
    });
  });

  test('that is not there is reported with the host that could not get through', async () => {
    const gone = await startSshd();
    await gone.stop();
    const text = block('one', hop(0)) + block('device', target, 'ProxyJump one');
    const wrong = text.replace(`Port ${target.port}`, `Port ${gone.port}`);
    await expect(greet(wrong)).rejects.toMatchObject({
      name: 'host-unreachable',
      details: { via: `${hop(0).user}@127.0.0.1:${hop(0).port}` },
    });
  });

  test('that does not answer is given up in time, though the host on the way still waits', async () => {
    // sshd itself would have to be made to wait for an address that nobody has.
    const server = new ssh2.Server(
      { hostKeys: [await readFile(join(hop(0).folder, 'host_ed25519'))] },
      (client) =>
        client
          .on('authentication', (attempt) => attempt.accept())
          .on('tcpip', () => undefined)
          .on('error', () => undefined),
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const text = block('one', hop(0), 'HostKeyAlias silent')
      .replace(`Port ${hop(0).port}`, `Port ${port}`)
      .replace(hop(0).knownHostsFile, await folder.write(`silent ${hop(0).hostKey('ed25519')}\n`));
    const device = block('device', target, 'ProxyJump one\n  ConnectTimeout 1');
    await expect(greet(text + device)).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('no answer within 1 s'),
    });
    server.close();
  });

  test('is lost with the host on the way, which is named', async () => {
    await using relay = await startRelay({ to: hop(0).port });
    const text = chain('one,two')
      .replace(`Port ${hop(0).port}`, `Port ${relay.port}`)
      .replace(
        `UserKnownHostsFile ${hop(0).knownHostsFile}`,
        `UserKnownHostsFile ${hop(0).knownHostsFile}.alias\n  HostKeyAlias first-hop`,
      );
    const aliased = `${hop(0).knownHostsFile}.alias`;
    await writeFile(aliased, `first-hop ${hop(0).hostKey('ed25519')}\n`);
    await using host = await openHost(await resolve(text));
    const running = host.run({ argv: ['sleep', '60'] });
    setTimeout(() => relay.cut(), 300);
    await expect(running.exit).rejects.toMatchObject({
      name: 'host-lost',
      message: expect.stringContaining(`127.0.0.1:${relay.port}`),
    });
  });
});

describe('programs that were allowed', () => {
  test('a ProxyCommand is the way to the host', async () => {
    const proxy = `bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & exec cat >&3'`;
    const text = block('device', target, `ProxyCommand ${proxy}`);
    await expect(greet(text)).rejects.toMatchObject({ name: 'ssh-config-program' });
    expect(await greet(text, ['ProxyCommand'])).toContain(` ${target.port}\n`);
  });

  test('a ProxyCommand that fails is no way', async () => {
    const text = block('device', target, 'ProxyCommand false');
    await expect(greet(text, ['ProxyCommand'])).rejects.toMatchObject({
      name: 'host-unreachable',
    });
  });

  test('a KnownHostsCommand knows the key', async () => {
    const text = block('device', target, `KnownHostsCommand cat ${target.knownHostsFile}`).replace(
      `UserKnownHostsFile ${target.knownHostsFile}`,
      'UserKnownHostsFile none',
    );
    expect(await greet(text, ['KnownHostsCommand'])).toContain(` ${target.port}\n`);
  });

  test('a LocalCommand is run once the host is connected to', async () => {
    const file = join(folder.path, 'connected-to');
    const text = block('device', target, `PermitLocalCommand yes\n LocalCommand touch ${file}-%n`);
    await greet(text, ['LocalCommand']);
    expect(existsSync(`${file}-device`)).toBe(true);
  });
});

describe('keys that no host may have', () => {
  test('a key in RevokedHostKeys is refused, and a list that cannot be read too', async () => {
    const list = join(folder.path, 'revoked');
    const other = await makeKey(join(folder.path, 'other'), 'ed25519');
    await writeFile(list, `# lost\n${other}\n`);
    const text = block('device', target, `RevokedHostKeys ${list}`);
    expect(await greet(text)).toContain(` ${target.port}\n`);
    await writeFile(list, `${other}\n${target.hostKey('ed25519')}\n`);
    await expect(greet(text)).rejects.toMatchObject({ name: 'host-key-revoked' });
    await expect(greet(text.replace(list, `${list}-absent`))).rejects.toMatchObject({
      name: 'known-hosts-missing',
    });
  });
});
