import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { SshTarget } from '../../src/host/ssh-target.ts';
import { configFolder, local } from './config-folder.ts';

const execute = promisify(execFile);
const folder = configFolder();

/** What `ssh -G` says, as far as we take it over, in our words. */
async function openSsh(path: string, name: string) {
  const { stdout } = await execute('ssh', ['-G', '-F', path, name]);
  const said = new Map<string, string[]>();
  for (const line of stdout.trim().split('\n')) {
    const [keyword = '', ...rest] = line.split(' ');
    said.set(keyword, [...(said.get(keyword) ?? []), rest.join(' ')]);
  }
  const one = (keyword: string) => said.get(keyword)?.[0];
  const timeout = one('connecttimeout');
  return {
    name: one('hostname'),
    user: one('user'),
    port: Number(one('port')),
    hostKeyAlias: one('hostkeyalias'),
    aliveInterval: Number(one('serveraliveinterval')),
    aliveCountMax: Number(one('serveralivecountmax')),
    identitiesOnly: one('identitiesonly') === 'yes',
    connectTimeout: timeout === 'none' ? 10 : Number(timeout),
    addressFamily: { any: 0, inet: 4, inet6: 6 }[one('addressfamily') ?? ''],
    proxyJump: one('proxyjump'),
    knownHostsFiles: [one('userknownhostsfile'), one('globalknownhostsfile')]
      .flatMap((list) => list?.split(' ') ?? [])
      .filter((file) => file !== 'none')
      .map((file) => normalize(file)),
    identityFiles: said.get('identityfile'),
  };
}

function ours(target: SshTarget) {
  return {
    name: target.name,
    user: target.user,
    port: target.port,
    hostKeyAlias: target.hostKeyAlias,
    aliveInterval: target.aliveInterval ?? 0,
    aliveCountMax: target.aliveCountMax ?? 3,
    identitiesOnly: target.identitiesOnly ?? false,
    connectTimeout: target.connectTimeout,
    addressFamily: target.addressFamily ?? 0,
    proxyJump: target.jumps
      ?.map(({ user, name, port }) => {
        const shownUser = user === local.name ? '' : `${user}@`;
        return `${shownUser}${name}${port === 22 ? '' : `:${port}`}`;
      })
      .join(','),
    knownHostsFiles: target.knownHostsFiles,
    identityFiles: target.keyFiles,
  };
}

describe('a configuration means what it means to OpenSSH (ssh -G)', () => {
  test.each<[string, string, string[]]>([
    ['nothing at all', '# nothing\n', ['lab-1', 'LAB-1', '10.0.0.1', '::1']],
    ['a value before any Host is for all', 'Port 2222\nUser ci\n', ['any']],
    ['the first value wins', 'Host a\n Port 1\nHost *\n Port 2\n User u\n', ['a', 'b']],
    ['patterns', 'Host lab-? *.lab\n Port 3\n', ['lab-1', 'lab-12', 'x.lab', 'lab']],
    ['negated patterns', 'Host lab-* !lab-9*\n Port 4\n', ['lab-1', 'lab-9', 'lab-99']],
    ['only negated patterns', 'Host !a\n Port 4\n', ['a', 'b']],
    ['the case of letters in Host', 'Host Lab\n Port 5\n', ['lab', 'Lab', 'LAB']],
    ['keywords in any case', 'hOsT a\n pOrT 6\n USER x\n', ['a']],
    ['equals signs and blanks', 'Port=7\nUser = ci\n\tHostKeyAlias\t=\tx\n', ['a']],
    ['quotes', 'Host "a" "b c"\n User "ci user"\n HostKeyAlias \'x\'\n', ['a', 'b']],
    ['comments after a value and a blank', 'User ci # really\nPort 8 # yes\n', ['a']],
    ['HostName', 'Host lab\n HostName 10.0.0.7\n', ['lab', 'other']],
    ['HostName with tokens', 'Host lab-*\n HostName %h.example.com\n', ['lab-1']],
    ['HostName with a percent sign', 'HostName a%%b\n', ['x']],
    ['HostName in capitals', 'HostName Lab.Example.COM\n', ['x']],
    ['Match all', 'Match all\n Port 9\n', ['a']],
    [
      'Match host by the name after HostName',
      'Host a\n HostName b\nMatch host b\n Port 10\n',
      ['a', 'b'],
    ],
    ['Match host before HostName', 'Match host b\n Port 10\nHost a\n HostName b\n', ['a', 'b']],
    ['Match originalhost', 'Host a\n HostName b\nMatch originalhost a\n Port 11\n', ['a', 'b']],
    ['Match host in any case', 'Match host LAB-*\n Port 12\n', ['lab-1', 'LAB-1']],
    ['Match host with a list', 'Match host a,b,!c*\n Port 13\n', ['a', 'b', 'c1']],
    ['Match with a negated criterion', 'Match !host a user *\n Port 14\n', ['a', 'b']],
    ['Match user set before', 'User u1\nMatch user u1\n Port 15\n', ['a']],
    ['Match user set after', 'Match user u1\n Port 15\nHost *\n User u1\n', ['a']],
    ['Match localuser', `Match localuser ${userInfo().username}\n Port 16\n`, ['a']],
    ['Match localuser of another', 'Match localuser somebody-else\n Port 16\n', ['a']],
    ['Match with equals signs and quotes', 'Match host="a" user=*\n Port 17\n', ['a', 'b']],
    ['Match with several that must all hold', 'Match host a originalhost b\n Port 1\n', ['a', 'b']],
    ['Match final', 'Match final host b\n Port 18\nHost a\n HostName b\n', ['a', 'b', 'c']],
    ['Match final all', 'Match final all\n Port 19\nHost a\n Port 20\n', ['a', 'b']],
    ['Match !final', 'Match !final host a\n Port 21\n', ['a']],
    ['Match canonical without a second pass', 'Match canonical all\n Port 22000\n', ['a']],
    [
      'IdentityFile adds up',
      'Host a\n IdentityFile /k/1\nHost *\n IdentityFile /k/2\n IdentityFile /k/1\n',
      ['a', 'b'],
    ],
    ['IdentityFile with blanks', 'IdentityFile "/k/my key"\n', ['a']],
    [
      'IdentitiesOnly',
      'Host a\n IdentitiesOnly yes\nHost b\n IdentitiesOnly no\n',
      ['a', 'b', 'c'],
    ],
    [
      'UserKnownHostsFile with several',
      'UserKnownHostsFile /kh/1 ~/kh2 "/kh/%h%n"\nGlobalKnownHostsFile /g\n',
      ['a'],
    ],
    [
      'UserKnownHostsFile with tokens',
      'Host a\n HostName b\nHost *\n User u\n Port 3\n UserKnownHostsFile /%%/%h/%n/%p/%r/%u/%d/%i/%L/%l/%k\n',
      ['a'],
    ],
    ['the hash of the connection', 'UserKnownHostsFile /kh/%C\nUser u\nPort 4\n', ['a']],
    ['UserKnownHostsFile none', 'UserKnownHostsFile none\nGlobalKnownHostsFile /g\n', ['a']],
    ['UserKnownHostsFile with a variable', 'UserKnownHostsFile /kh/${PATH}\n', ['a']],
    ['HostKeyAlias', 'Host a\n HostKeyAlias device-7\n', ['a']],
    [
      'ConnectTimeout',
      'Host a\n ConnectTimeout 7\nHost b\n ConnectTimeout 1m30s\nHost c\n ConnectTimeout none\n',
      ['a', 'b', 'c'],
    ],
    ['ServerAliveInterval', 'ServerAliveInterval 11\nServerAliveCountMax 2\n', ['a']],
    [
      'AddressFamily',
      'Host a\n AddressFamily inet\nHost b\n AddressFamily inet6\nHost c\n AddressFamily any\n',
      ['a', 'b', 'c'],
    ],
    [
      'ProxyJump',
      'Host a\n ProxyJump bastion\nHost b\n ProxyJump ci@bastion:2222\n',
      ['a', 'b', 'c'],
    ],
    ['ProxyJump with several', 'Host a\n ProxyJump ci@one:23,two,ssh://u@three:24\n', ['a']],
    [
      'ProxyJump none first',
      'Host a bastion\n ProxyJump none\nHost *\n ProxyJump bastion\n',
      ['a', 'b'],
    ],
    ['Include', 'Host a\n Include FOLDER/inc/*.conf\nHost *\n User after\n', ['a', 'b', 'inner']],
    [
      'Include before anything',
      'Include FOLDER/inc/1.conf FOLDER/inc/2.conf\nHost *\n Port 99\n',
      ['a', 'b', 'inner'],
    ],
    ['Include of what is not there', 'Include FOLDER/none/*.conf FOLDER/nothing\nPort 23\n', ['a']],
    ['Include that includes', 'Include FOLDER/inc/outer\n', ['a', 'inner']],
    [
      'keywords that are none of our business',
      'ForwardAgent yes\nCompression yes\nSendEnv LANG\nLogLevel DEBUG\nPort 24\n',
      ['a'],
    ],
    ['Windows line ends', 'Host a\r\n  Port 25\r\n  User ci\r\n', ['a']],
  ])('%s', async (_, text, names) => {
    await mkdir(join(folder.path, 'inc'), { recursive: true });
    await writeFile(
      join(folder.path, 'inc/1.conf'),
      'Host inner\n  Port 31\nMatch host a\n  Port 32\n',
    );
    await writeFile(join(folder.path, 'inc/2.conf'), 'User included\n');
    await writeFile(
      join(folder.path, 'inc/outer'),
      `Include ${folder.path}/inc/2.conf\nInclude ${folder.path}/inc/1.conf\n`,
    );
    const path = await folder.write(text);
    for (const name of names) {
      const { identityFiles, ...expected } = await openSsh(path, name);
      const { identityFiles: found, ...actual } = ours(await folder.read(path, name));
      expect({ asked: name, ...actual }).toEqual({ asked: name, ...expected });
      // What OpenSSH looks for by itself includes kinds of keys that ssh2 does not know.
      if (text.includes('IdentityFile')) expect(found).toEqual(identityFiles?.filter(isNoDefault));
    }
  });
  const isNoDefault = (file: string) => !file.startsWith('~/.ssh/id_');
});
