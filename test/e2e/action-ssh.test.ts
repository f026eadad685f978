import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startSshd } from '../host/sshd.ts';
import { keptFiles, resultFile, savepoint, scene, stage } from './action-scene.ts';

describe('a host over SSH', () => {
  test('is decided with a key that is in no state, output or file that stays', async () => {
    await using sshd = await startSshd();
    const it = scene();
    const key = readFileSync(sshd.keyPath, 'utf8');
    const result = await it.runner.run([
      savepoint(it, {
        host: `ssh://${sshd.user}@127.0.0.1:${sshd.port}`,
        'ssh-key': key.trimEnd(),
        'known-hosts': sshd.knownHostsLine,
        run: `echo over ssh; cat ${sshd.keyPath}`,
      }),
      { run: 'exit 1' },
    ]);
    const main = stage(result, 'main');
    expect(main.log.join('\n')).toContain('test     | over ssh');
    expect(it.root.snapshot()).toEqual(it.before);
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back', test_status: 0 });
    const secret = key.split('\n')[2] ?? '';
    const told = result.steps.flatMap(({ log, summary, state, outputs }) => [
      ...[...log, summary, JSON.stringify(state), JSON.stringify(outputs)],
    ]);
    expect([keptFiles(result), ...told].join('\n')).not.toContain(secret);
    const left = readdirSync(result.temp).filter((name) => name.includes('credentials'));
    expect(left).toEqual([]);
  });

  test('whose key is another than known is refused, and not touched', async () => {
    await using sshd = await startSshd();
    const it = scene();
    const other = sshd.knownHostsLine.replace(
      / \S+ \S+$/,
      ` ${sshd.publicKey.split(' ').slice(0, 2).join(' ')}`,
    );
    const result = await it.runner.run([
      savepoint(it, {
        host: `ssh://${sshd.user}@127.0.0.1:${sshd.port}`,
        'ssh-key': readFileSync(sshd.keyPath, 'utf8'),
        'known-hosts': other,
        run: 'true',
      }),
    ]);
    expect(stage(result, 'main').exit).toBe(3);
    expect(resultFile(result).error?.name).toBe('host-key-changed');
    expect(stage(result, 'post').log.join('\n')).toContain('No transaction is open');
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });
});
