import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isModule, loadBackend } from '../../../src/host/backend/load.ts';
import { callBackend, type OpenedBackend, openBackend } from '../../../src/host/backend/open.ts';
import { capture } from '../../../src/host/capture.ts';
import type { Host } from '../../../src/host/host.ts';
import { knownHostName } from '../../../src/host/known-hosts.ts';
import { locate } from '../../../src/host/locate.ts';
import { openHost } from '../../../src/host/open.ts';
import type { SshTarget } from '../../../src/host/ssh-target.ts';
import type { BackendTarget } from '../../../src/host/target.ts';
import { describeHost } from '../conformance.ts';
import { type Relay, startRelay } from '../relay.ts';

type Told = () => Promise<Record<string, unknown>>;

/** A machine may have to be installed, and this machine may be busy. */
const patience = 30 * 60_000;

/**
 * What every backend must do: the host that it makes ready is one like any other, and it takes it
 * back. Verbs that it does not have are not asked for.
 * @param use absolute path of the module or executable
 */
export async function describeBackend(
  name: string,
  use: string,
  told: Told = async () => ({}),
): Promise<void> {
  const { backend } = (await locate({ type: 'backend', use, with: {} })) as BackendTarget;
  const loaded = await loadBackend(backend);
  const can = await loaded.capabilities({
    ...{ id: '', with: {}, log: () => undefined },
    signal: new AbortController().signal,
  });
  describe(`backend ${name}`, { timeout: patience }, () => {
    let opened: OpenedBackend;
    let relay: Relay | undefined;
    const said: string[] = [];
    const options = { log: (line: string) => void said.push(line) };
    const unopened = async () =>
      (await locate({ type: 'backend', use, with: await told() })) as BackendTarget;
    const open = async () => openBackend(await unopened(), options);
    const sh = async (host: Host, script: string) =>
      capture(host.run({ argv: ['sh', '-c', script] }));
    /** Through a link that can be cut, where there is a link at all. */
    const reach = async (): Promise<Host> => {
      const { target } = opened;
      if (target.type !== 'ssh') return openHost(target);
      relay ??= await startRelay({ to: target.port, host: target.name });
      return openHost(through(target, relay.port));
    };

    beforeAll(async () => {
      opened = await open();
    }, patience);
    afterAll(async () => {
      await relay?.stop();
      await callBackend(opened.backend, 'close', options);
    }, patience);

    describeHost(`of backend ${name}`, reach, {
      // One that runs the commands itself has no link that could be cut from here.
      drop: can.includes('run') ? undefined : () => relay?.cut(),
      // A program has nothing but its status to tell by.
      signals: can.includes('run') && !isModule(use) ? 'as a status' : 'told',
    });

    test('takes back what it never opened, and what it has taken back already', async () => {
      await callBackend((await unopened()).backend, 'close', options);
      const other = await open();
      await callBackend(other.backend, 'close', options);
      await callBackend(other.backend, 'close', options);
    });

    if (can.includes('close')) {
      test('leaves nothing to connect to', async () => {
        const other = await open();
        await callBackend(other.backend, 'close', options);
        await expect(openHost(other.target)).rejects.toMatchObject({
          name: expect.stringMatching(/^(host-|key-|backend-failed)/),
        });
      });
    }

    test('opens two hosts at once that are not the same', async () => {
      const other = await open();
      try {
        expect(other.target).not.toEqual(opened.target);
        await using host = await openHost(other.target);
        expect((await sh(host, 'echo there')).stdout).toBe('there\n');
      } finally {
        await callBackend(other.backend, 'close', options);
      }
    });

    if (can.includes('reboot')) {
      test('reboots: another boot, the same disk, and it answers', async () => {
        const script = 'cat ~/kept; cat /proc/sys/kernel/random/boot_id';
        await using host = await openHost(opened.target);
        const before = await sh(host, `echo kept >~/kept; sync; ${script}`);
        expect(await callBackend(opened.backend, 'reboot', options)).toBe(true);
        await using again = await openHost(opened.target);
        const after = await sh(again, script);
        expect(after.stdout).toMatch(/^kept\n./);
        expect(after.stdout).not.toBe(before.stdout);
      });
    }

    if (can.includes('revert')) {
      test('reverts: what came since it was opened is gone, and it answers', async () => {
        await using host = await openHost(opened.target);
        expect((await sh(host, 'echo here >~/since; sync; test -e ~/since')).exit.code).toBe(0);
        expect(await callBackend(opened.backend, 'revert', options)).toBe(true);
        await using again = await openHost(opened.target);
        expect((await sh(again, 'test -e ~/since')).exit.code).toBe(1);
      });
    }
  });
}

/** The same host by way of a relay, which does not change the name that its key is known by. */
function through(target: SshTarget, port: number): SshTarget {
  return {
    ...target,
    name: '127.0.0.1',
    port,
    hostKeyAlias: target.hostKeyAlias ?? knownHostName(target.name, target.port),
  };
}
