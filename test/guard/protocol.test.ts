import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { loaderExit, loaderLine } from '../../src/guard/bootstrap.ts';
import { guardInUse } from '../../src/guard/releases.ts';
import { Conversation, heard } from './spoken.ts';
import { guards, pinned } from './which.ts';

/** The change that is applied: one file has other bytes, one is new; another is removed. */
async function change(name = 'etc/lab/file'): Promise<Buffer> {
  const archive = pack();
  const bytes = buffer(archive);
  archive.entry({ name, mode: 0o644 }, 'new\n');
  archive.entry({ name: 'etc/lab/added', mode: 0o644 }, 'new\n');
  archive.finalize();
  return await bytes;
}

/** Every statement of docs/guard-protocol.md that a guard can be asked about. */
describe.each(guards)('%s', (_which, file) => {
  const version = spawnSync('sh', [file, 'version'], { encoding: 'utf8' }).stdout.trim();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  /** Phases outlive their calls since 1.1.0. */
  const follows = major > 1 || minor >= 1;
  const speak = () => new Conversation(file);
  const valuesOf = (head: readonly string[], key: string) =>
    head.filter((line) => line.startsWith(`${key} `)).map((line) => line.slice(key.length + 1));

  test('says its release', () => {
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(version).toBe(/^VERSION=([0-9.]+)/m.exec(readFileSync(file, 'utf8'))?.[1]);
  });

  test.each<[what: string, verb: string, input: string]>([
    ['no request', 'status', ''],
    ['something else', 'status', 'GET / HTTP/1.1\n\n'],
    ['a later protocol', 'status', 'savepoint 2\n\n'],
    ['a verb that it does not know', 'destroy', 'savepoint 1\n\n'],
    ['a begin without an id', 'begin', 'savepoint 1\ntoken t\ntrack /etc/lab\n\n'],
    ['a begin without a token', 'begin', 'savepoint 1\nid x\ntrack /etc/lab\n\n'],
    ['a begin that tracks nothing', 'begin', 'savepoint 1\nid x\ntoken t\n\n'],
    ['an id with other characters', 'status', 'savepoint 1\nid ../x\n\n'],
    ['a guard that is no digest', 'status', 'savepoint 1\nguard ../x\n\n'],
    ['a lease that is no number', 'status', 'savepoint 1\nlease soon\n\n'],
    ['a fence that is no number', 'status', 'savepoint 1\nfence 1.5.\n\n'],
    ['a root that is not absolute', 'status', 'savepoint 1\nroot etc\n\n'],
  ])('answers %s in its own protocol, and does nothing', (_what, verb, input) => {
    using it = speak();
    const inside = input.includes('root ') ? input : input.replace(/\n\n/, `\nroot ${it.root}\n\n`);
    const { stdout, status } = spawnSync('dash', [it.guard.path, verb], {
      input: inside,
      encoding: 'utf8',
    });
    expect(stdout).toMatch(/^savepoint 1 error guard-protocol\nmessage [^\n]+\n\n$/);
    expect(status).toBe(1);
    expect(existsSync(join(it.guard.state, 'tx'))).toBe(false);
  });

  test('a request that ends within its header is none; before 1.1.0 it was taken for whole', () => {
    using it = speak();
    const input = `savepoint 1\nroot ${it.root}\n`;
    const { stdout } = spawnSync('dash', [it.guard.path, 'status'], { input, encoding: 'utf8' });
    expect(stdout).toMatch(follows ? /^savepoint 1 error guard-protocol\n/ : /^savepoint 1 ok\n/);
  });

  test('begin tells what it has, and the same again when it is asked again', () => {
    using it = speak();
    const begun = it.begin('a_key_of_tomorrow x', 'lease 60');
    expect(begun).toMatchObject({ ok: true, status: 0, body: '' });
    for (const [key, value] of [
      ['id', it.id],
      ['guard_version', version],
      ['tools', 'gnu'],
      ['boot', readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()],
      ['entries', '3'],
    ] as const) {
      expect(valuesOf(begun.head, key)).toEqual([value]);
    }
    expect(Number(valuesOf(begun.head, 'bytes')[0])).toBeGreaterThan(0);
    expect(it.begin().head).toEqual(begun.head);
  });

  test('what other programs may read lies where it is said', () => {
    using it = speak();
    it.begin();
    const state = 'var/lib/savepoint';
    const of = (name: string) => it.file(`${state}/tx/${it.id}/${name}`).trimEnd();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    expect(statSync(join(it.root, state)).mode & 0o777).toBe(0o700);
    expect(it.file(`${state}/open`)).toBe(`${it.id}\n`);
    expect(of('guard')).toBe(it.guard.sha256);
    expect(of('holder')).toBe('a test');
    expect(of('since')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(of('tracked')).toBe('/etc/lab\n/etc/absent');
    expect(of('armed')).toBe(boot);
    expect(of('lease')).toMatch(new RegExp(`^${boot} \\d+$`));
    expect(of('token')).not.toContain('secret');
    it.ask('rollback', ['reason a person']);
    expect(of('decision')).toBe('rollback a person');
    expect(of('outcome')).toBe('rolled-back');
    expect(existsSync(join(it.root, state, 'open'))).toBe(false);
  });

  test.each<[what: string, error: string, verb: string, lines: string[]]>([
    ['a transaction that is not there', 'not-open', 'renew', ['id another']],
    ['another token', 'bad-token', 'renew', ['token other']],
    ['another token, for a decision', 'bad-token', 'commit', ['token other']],
    ['another token, for a phase', 'bad-token', 'exec', ['token other']],
    ['a fence that was passed', 'fenced', 'renew', ['fence 2']],
    ['another transaction meanwhile', 'host-busy', 'begin', ['id another', 'track /etc/x']],
    ['a removal elsewhere', 'remove-outside-tracked', 'apply', ['remove /etc/elsewhere']],
  ])('refuses %s by name', async (_what, error, verb, lines) => {
    using it = speak();
    it.begin();
    const answer = it.ask(verb, lines, verb === 'apply' ? await change() : undefined);
    expect(answer).toMatchObject({ status: 1, ok: false, error });
    expect(answer.head[0]).toMatch(/^message ./);
    if (error === 'host-busy') expect(answer.head[0]).toContain('a test');
    expect(it.file('etc/lab/file')).toBe('old\n');
  });

  test('a process that takes over shuts out the one before', () => {
    using it = speak();
    it.begin();
    expect(it.ask('renew', ['fence 4']).ok).toBe(true);
    expect(it.ask('renew').error).toBe('fenced');
    expect(it.ask('rollback', ['fence 4']).ok).toBe(true);
  });

  test('apply lays the change, and tells it', async () => {
    using it = speak();
    it.begin();
    const { ok, head, body } = it.ask('apply', ['remove /etc/lab/gone'], await change());
    expect(ok).toBe(true);
    const gone = follows ? 'removed' : 'changed';
    expect(valuesOf(head, 'path').sort()).toEqual(
      ['added /etc/lab/added', 'changed /etc/lab/file', `${gone} /etc/lab/gone`].sort(),
    );
    expect(body).toContain('-old\n+new\n');
    expect(it.file('etc/lab/file')).toBe('new\n');
    expect(existsSync(join(it.root, 'etc/lab/gone'))).toBe(false);
    expect(it.ask('apply', [], await change('etc/elsewhere')).error).toBe('files-outside-tracked');
  });

  test('renew begins the lease anew', () => {
    using it = speak();
    it.begin('lease 60');
    const { ok, head } = it.ask('renew');
    expect(ok).toBe(true);
    expect(Number(valuesOf(head, 'lease_left')[0])).toBeLessThanOrEqual(60);
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    expect(valuesOf(head, 'boot')).toEqual(follows ? [boot] : []);
  });

  test.each([
    ['commit', 'committed', 'new\n', ['added /etc/lab/added', 'changed /etc/lab/file']],
    ['rollback', 'rolled-back', 'old\n', ['removed /etc/lab/added', 'restored /etc/lab/file']],
  ] as const)('%s decides once, whoever asks again', async (verb, outcome, content, paths) => {
    using it = speak();
    it.begin();
    it.ask('apply', [], await change());
    const decided = it.ask(verb, ['reason me']);
    expect(decided.ok).toBe(true);
    expect(valuesOf(decided.head, 'path').sort()).toEqual(paths);
    for (const again of ['commit', 'rollback', verb]) {
      const { head } = it.ask(again, ['reason another']);
      for (const [key, value] of [
        ['decision', verb],
        ['by', 'me'],
        ['outcome', outcome],
      ] as const)
        expect(valuesOf(head, key)).toEqual([value]);
    }
    expect(it.file('etc/lab/file')).toBe(content);
    for (const late of ['renew', 'exec', 'apply']) expect(it.ask(late).error).toBe('not-open');
  });

  test('status, recover and clear need no credentials', () => {
    using it = speak();
    it.begin('lease 60');
    const status = () => it.guard.call('status', { headers: it.site }).head;
    expect(valuesOf(status(), 'open')).toEqual([it.id]);
    expect(valuesOf(status(), 'holder')).toEqual(['a test']);
    expect(valuesOf(status(), 'track')).toEqual(['/etc/lab', '/etc/absent']);
    expect(valuesOf(status(), 'guard_version')).toEqual([version]);
    const recovered = it.guard.call('recover', { headers: it.site });
    expect(valuesOf(recovered.head, 'ended')).toEqual([`${it.id} rolled-back`]);
    expect(valuesOf(status(), 'open')).toEqual([]);
    expect(valuesOf(status(), 'past')[0]).toMatch(new RegExp(`^${it.id} \\S+ rolled-back a test$`));
    writeFileSync(join(it.guard.state, 'quarantine'), 'a reason\n');
    expect(valuesOf(status(), 'quarantine')).toEqual(['a reason']);
    expect(it.begin('id another').error).toBe('host-quarantined');
    expect(it.guard.call('clear', { headers: it.site })).toMatchObject({ ok: true, status: 0 });
    expect(valuesOf(status(), 'quarantine')).toEqual([]);
  });

  test('exec passes both outputs and the status on, between its marks', () => {
    using it = speak();
    it.begin();
    const script = `echo "to out $SAVEPOINT_TRANSACTION $SAVEPOINT_ROOT"; echo to err >&2; exit 7`;
    expect(it.exec(script)).toEqual({
      started: true,
      end: '7',
      out: `to out ${it.id} ${it.root}\n`,
      err: 'to err\n',
    });
    expect(it.exec('printf "no line break"').out).toBe('no line break');
  });

  test('kill ends what a phase has left', () => {
    using it = speak();
    it.begin();
    it.exec('setsid sleep 1000 >/dev/null 2>&1 </dev/null &');
    expect(it.processes()).not.toEqual([]);
    expect(it.ask('kill').ok).toBe(true);
    expect(it.processes()).toEqual([]);
  });

  test('a phase with a name is started once; before 1.1.0 it is started each time', () => {
    using it = speak();
    it.begin();
    const script = 'echo once >>"$SAVEPOINT_ROOT/count"; echo 12345; echo abcde >&2; exit 3';
    const first = it.exec(script, 'phase setup.1');
    expect(first).toMatchObject({ end: '3', out: '12345\n', err: 'abcde\n' });
    const again = it.exec('echo another', 'phase setup.1', 'out 2', 'err 4');
    if (follows) expect(again).toMatchObject({ end: '3', out: '345\n', err: 'e\n' });
    else expect(again).toMatchObject({ end: '0', out: 'another\n', err: '' });
    expect(it.exec(script, 'phase setup.2').out).toBe('12345\n');
    expect(it.file('count')).toBe('once\nonce\n');
  });

  test.each([['.x'], ['a/b'], ['a b'], ['']])('no phase is called "%s"', (name) => {
    using it = speak();
    it.begin();
    const answer = it.ask('exec', [`phase ${name}`, 'nonce n'], Buffer.from('true'));
    expect(answer.error).toBe(follows ? 'guard-protocol' : undefined);
  });

  test('a phase outlives its call, and is taken up where it was left; before 1.1.0 it ends with it', async () => {
    using it = speak();
    it.begin();
    const wait = 'until [ -e "$SAVEPOINT_ROOT/go" ]; do sleep 0.05; done';
    const call = it.start(`echo first; ${wait}; echo second; exit 5`, 'phase long');
    await new Promise<void>((done) => call.stdout.once('data', () => done()));
    call.kill('SIGKILL');
    if (!follows) {
      const { out, end } = it.exec('echo anew', 'phase long', 'out 6');
      expect({ out, end }).toEqual({ out: 'anew\n', end: '0' });
      return;
    }
    const later = it.start('', 'phase long', 'out 6');
    const output = Promise.all([text(later.stdout), text(later.stderr)]);
    writeFileSync(join(it.root, 'go'), '');
    expect(heard(...(await output))).toMatchObject({ started: true, end: '5', out: 'second\n' });
  });

  test('a later follower takes over, and the earlier one says no end; before 1.1.0 there is none', async () => {
    using it = speak();
    it.begin();
    const wait = 'until [ -e "$SAVEPOINT_ROOT/go" ]; do sleep 0.05; done';
    const earlier = it.start(`echo out; ${wait}`, 'phase long');
    const said = Promise.all([text(earlier.stdout), text(earlier.stderr)]);
    await new Promise<void>((done) => earlier.stdout.once('data', () => done()));
    const later = it.start('echo new', 'phase long');
    const taken = Promise.all([text(later.stdout), text(later.stderr)]);
    if (follows) expect(heard(...(await said))).toMatchObject({ started: true, end: undefined });
    writeFileSync(join(it.root, 'go'), '');
    expect(heard(...(await taken))).toMatchObject({ end: '0', out: follows ? 'out\n' : 'new\n' });
    if (!follows) expect(heard(...(await said))).toMatchObject({ end: '0', out: 'out\n' });
  });

  test('a phase whose host went down under it is lost; before 1.1.0 its call ends without a word', async () => {
    using it = speak();
    it.begin();
    const call = it.start('echo first; sleep 1000', 'phase long', 'reboot 60');
    const output = Promise.all([text(call.stdout), text(call.stderr)]);
    await new Promise<void>((done) => call.stdout.once('data', () => done()));
    it.crash();
    if (!follows) call.kill('SIGKILL');
    const end = follows ? 'lost' : undefined;
    expect(heard(...(await output))).toMatchObject({ started: true, end, out: 'first\n' });
    const again = it.exec('exit 4', 'phase long', 'out 6');
    expect(again).toMatchObject(follows ? { end: 'lost', out: '' } : { end: '4', out: '' });
  });
});

describe('the loader', () => {
  const sha256 = guardInUse().sha256;

  /** Runs it as a user who is not root, whose sudo says this and allows nothing. */
  function load(root: string, sudo?: string) {
    const bin = join(root, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'sudo'), `#!/bin/sh\necho '${sudo}'\nexit 1\n`, { mode: 0o755 });
    const [program, ...words] = loaderLine({
      root,
      guard: { sha256 },
      sudo: sudo !== undefined,
      verb: 'status',
    });
    const asOther = sudo !== undefined && process.getuid?.() === 0 ? { uid: 65534 } : {};
    const env = { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` };
    return spawnSync(program, words, { env, input: '', encoding: 'utf8', ...asOther });
  }

  test.each<[what: string, exit: keyof typeof loaderExit, code: number, sudo?: string]>([
    ['has no guard to run', 'notInstalled', 90],
    ['runs no other bytes than asked for', 'mismatch', 91],
    ['cannot become root', 'noSudo', 92, 'Sorry, user ci may not run sudo.'],
    ['is refused by the host', 'refused', 93, `(root) sha256:${'0'.repeat(64)} /x/guard/0/guard`],
  ])('that %s ends with its own status', (_what, exit, code, sudo) => {
    using it = new Conversation(pinned);
    chmodSync(it.root, 0o755);
    if (exit === 'mismatch') writeFileSync(it.guard.path, '#!/bin/sh\nexit 0\n');
    if (exit === 'notInstalled') it.remove();
    const ended = load(it.root, sudo);
    expect({ status: ended.status, stdout: ended.stdout }).toEqual({ status: code, stdout: '' });
    expect(loaderExit[exit]).toBe(code);
    if (exit === 'refused') expect(ended.stderr).toContain('sha256:');
    it.guard.install();
  });
});
