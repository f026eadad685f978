import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type Header, pack } from 'tar-stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeRequest, type Fields } from '../../src/guard/protocol.ts';
import { digestOf } from '../../src/guard/releases.ts';
import { guardPlace, places } from '../../src/setup/places.ts';
import { type Policy, policyText } from '../../src/setup/policy.ts';
import { sudoersText } from '../../src/setup/sudo-rules.ts';
import { differences, type Manifest } from '../guard/manifest.ts';
import { attempt } from './command.ts';
import { bootContainer, type Container } from './container.ts';
import { labImage } from './image.ts';
import { bePatient } from './patience.ts';
import { look } from './protected.ts';

bePatient();

/** The policy is the candidate's to enforce, before it can be any release's. */
const text = readFileSync(process.env.SAVEPOINT_CANDIDATE ?? 'guard/guard.sh', 'utf8');
const sha256 = digestOf(text);
const guard = guardPlace(sha256);

const policy: Policy = {
  track: ['/etc/lab', '/etc/loose', '/etc/outer/inner'],
  refresh: ['echo refreshed >/run/refreshed'],
  probe: ['true'],
  user: 'builder',
};
const token = 'a'.repeat(64);

describe('what the CI user asks the guard for, on a host with a policy', () => {
  let machine: Container;
  let before: Manifest;

  beforeAll(async () => {
    await labImage();
    machine = await bootContainer({
      sudo: '# ci may do nothing',
      prepare: 'useradd builder',
      furnish: (root) => {
        const put = (path: string, content: string, mode = 0o644) => {
          mkdirSync(dirname(join(root, path)), { recursive: true, mode: 0o755 });
          writeFileSync(join(root, path), content, { mode });
        };
        put(guard, text, 0o755);
        put(places.policy, policyText(policy), 0o600);
        put(places.sudoers, sudoersText({ user: 'ci', guards: [sha256] }), 0o440);
        put('etc/lab/file', 'old\n');
        put('etc/labels', 'beside it\n');
        put('etc/loose/mine/file', 'old\n');
        put('etc/outer/inner/file', 'old\n');
        chownSync(join(root, 'etc/loose/mine'), 1000, 1000);
        chownSync(join(root, 'etc/outer'), 1000, 1000);
        symlinkSync('/etc', join(root, 'etc/lab/up'));
      },
    });
    await machine.exec('chmod 700 /var/lib/savepoint');
    before = look(machine.root);
  });
  afterAll(() => machine.destroy());
  afterEach(async () => {
    await ask('recover', []);
    // The guard works beside what it protects; directories that are not tracked show that.
    const besides = ['/lab', '/outer'];
    expect(
      differences(before, look(machine.root), (path, field) => {
        return field === 'mtime' && besides.includes(path);
      }),
    ).toEqual([]);
    expect(existsSync(join(machine.root, 'var/lib/savepoint/open'))).toBe(false);
  });

  /** One verb of the guard, as somebody with the CI user's login can send it. */
  async function ask(verb: string, fields: Fields, payload = Buffer.alloc(0)) {
    const request = Buffer.concat([
      Buffer.from(encodeRequest([['guard', sha256], ...fields])),
      payload,
    ]);
    const argv = machine.sshArgv('ci', `base64 -d | sudo -n ${guard} ${verb}`);
    const { stdout, stderr } = await attempt(argv, { input: request.toString('base64') });
    const [head = '', message = ''] = stdout.split('\n');
    return { head, message, stdout, stderr };
  }

  let count = 0;
  let identity: Fields = [];
  beforeEach(() => {
    identity = [
      ['id', `policy-${++count}`],
      ['token', token],
      ['fence', '1'],
    ];
  });
  const begin = (...fields: Fields) => ask('begin', [...identity, ['holder', 'test'], ...fields]);

  test('a transaction within it is as any other', async () => {
    const begun = await begin(
      ['track', '/etc/lab/file'],
      ['track', '/etc/lab/new.d/file'],
      ...policy.refresh.map((command) => ['refresh', command] as const),
      ...policy.probe.map((command) => ['probe', command] as const),
    );
    expect(begun.head, begun.stdout + begun.stderr).toBe('savepoint 1 ok');
    const ended = await ask('rollback', identity);
    expect(ended.stdout).toContain('outcome rolled-back');
    expect(await machine.exec('cat /run/refreshed')).toBe('refreshed\n');
  });

  test.each<[string, Fields[number]]>([
    ['a path that it does not name', ['track', '/etc/sudoers.d']],
    ['a path whose name only begins alike', ['track', '/etc/labels']],
    ['a path above one that it names', ['track', '/etc']],
    ['the root', ['track', '/']],
    ['a path that leaves by ..', ['track', '/etc/lab/../sudoers.d']],
    ['a path that ends in ..', ['track', '/etc/lab/..']],
    ['a path with an empty part', ['track', '/etc/lab//../sudoers.d']],
    ['a path with a part that is .', ['track', '/etc/lab/./file']],
    ["the guard's own state", ['track', '/var/lib/savepoint']],
    ['another command after a rollback', ['refresh', 'id >/run/refreshed']],
    ['a command with one more at its end', ['refresh', `${policy.refresh[0]}; id`]],
    ['a probe that is only a refresh', ['probe', policy.refresh[0] ?? '']],
    ['no command at all, but a blank', ['refresh', ' ']],
    ['another root', ['root', '/tmp']],
    ['another state folder', ['state_dir', '/tmp/state']],
  ])('%s is refused, and told what is allowed', async (_what, field) => {
    const { head, message } = await begin(['track', '/etc/lab/file'], field);
    expect(head).toBe('savepoint 1 error guard-refused-by-host');
    expect(message).toContain('the policy of this host');
    if (field[0] === 'track') expect(message).toContain('/etc/lab;');
  });

  test('a path below a link that leads out of it is refused', async () => {
    const { head } = await begin(['track', '/etc/lab/up/sudoers.d']);
    expect(head).toBe('savepoint 1 error path-under-symlink');
  });

  test.each([
    ['in', '/etc/loose', '/etc/loose/mine'],
    ['above', '/etc/outer/inner', '/etc/outer'],
  ])('a directory %s it that another user may write to is refused', async (_what, path, named) => {
    const { head, message } = await begin(['track', path]);
    expect(head).toBe('savepoint 1 error guard-refused-by-host');
    expect(message).toContain(`${named} can be written to by others`);
  });

  test.each<[string, Partial<Header> & { name: string }]>([
    ['a program that would run as root', { name: 'etc/lab/sh', mode: 0o4755 }],
    ["a program of root's group", { name: 'etc/lab/sh', mode: 0o2755 }],
    ['a file that everybody may write', { name: 'etc/lab/sh', mode: 0o666 }],
    [
      'a directory that everybody may write to',
      { name: 'etc/lab/d', mode: 0o777, type: 'directory' },
    ],
    [
      'a device',
      { name: 'etc/lab/null', mode: 0o644, type: 'character-device', devmajor: 1, devminor: 3 },
    ],
  ])('%s is no change that may be applied', async (_what, entry) => {
    const begun = await begin(['track', '/etc/lab']);
    expect(begun.head, begun.stdout).toBe('savepoint 1 ok');
    const archive = pack();
    const bytes = buffer(archive);
    if (entry.type) archive.entry(entry);
    else archive.entry(entry, 'x');
    archive.finalize();
    const { head } = await ask('apply', identity, await bytes);
    expect(head).toBe('savepoint 1 error files-bad-entry');
  });

  test('what a change may not hold leads nowhere: links, names with .., absolute names', async () => {
    const begun = await begin(['track', '/etc/lab']);
    expect(begun.head).toBe('savepoint 1 ok');
    const archive = pack();
    const bytes = buffer(archive);
    archive.entry({ name: 'etc/lab/out', type: 'symlink', linkname: '/etc' });
    archive.entry({ name: 'etc/lab/out/sudoers.d/mine' }, 'ci ALL=(ALL) NOPASSWD: ALL\n');
    archive.entry({ name: '../../../../../etc/sudoers.d/mine' }, 'ci ALL=(ALL) NOPASSWD: ALL\n');
    archive.entry({ name: '/etc/sudoers.d/mine' }, 'ci ALL=(ALL) NOPASSWD: ALL\n');
    archive.finalize();
    const { head } = await ask('apply', identity, await bytes);
    expect(head).toMatch(/^savepoint 1 error /);
    expect(existsSync(join(machine.root, 'etc/sudoers.d/mine'))).toBe(false);
  });

  test('phases run as the user it names', async () => {
    expect((await begin(['track', '/etc/lab'])).head).toBe('savepoint 1 ok');
    const { stdout } = await ask('exec', [...identity, ['nonce', 'n']], Buffer.from('id -un\n'));
    expect(stdout).toBe('builder\n');
  });

  test('words that a shell would read are only words', async () => {
    expect((await begin(['track', '/etc/lab'])).head).toBe('savepoint 1 ok');
    await ask('recover', [['reason', '\\c $(touch /etc/lab/x) `id`']]);
    const { stdout } = await ask('status', []);
    expect(stdout).toMatch(new RegExp(`past policy-${count} \\S+ rolled-back `));
  });

  test("a login as root is not bound by it: the policy is root's own", async () => {
    const request = encodeRequest([...identity, ['guard', sha256], ['track', '/etc/outer/inner']]);
    const { stdout } = await machine.ssh(
      'root',
      `${guard} begin <<'END'\n${request}END\n${guard} rollback <<'END'\n${request}END\n`,
    );
    expect(stdout).toContain('outcome rolled-back');
  });
});
