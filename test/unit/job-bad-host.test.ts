import { describe, expect, test } from 'vitest';
import { describe as explain } from '../../src/errors.ts';
import { type BadInput, expectRefused, load, refusal } from './job-fixture.ts';

const cases: BadInput[] = [
  {
    what: 'a host that is no address',
    yaml: 'track: [apt]\nhost: lab-07\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host',
    says: ['lab-07', 'ssh://user@name:port', 'Did you mean "ssh://lab-07"?'],
  },
  {
    what: 'a password in an address',
    yaml: 'track: [apt]\nhost: ssh://root:hunter2@lab-07\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host',
    says: ['holds a password', 'ssh://root:…@lab-07'],
  },
  {
    what: 'a port that does not exist',
    yaml: 'track: [apt]\nhost: { name: lab, port: 70000 }\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host.port',
    says: ['70000', '1 to 65535'],
  },
  {
    what: 'an SSH host without a name',
    yaml: 'track: [apt]\nhost: { user: root }\n',
    name: 'job-missing-field',
    line: 2,
    field: 'host.name',
    says: ['name or address'],
  },
  {
    what: "two hosts' worth of input in one mapping",
    yaml: 'track: [apt]\nhost:\n  type: local\n  name: lab-07\n',
    name: 'host-conflict',
    line: 4,
    field: 'host.name',
    says: ['type is local, but name is for SSH', 'type, sudo'],
  },
  {
    what: 'a key file that is not there',
    yaml: 'track: [apt]\nhost: { name: lab, key: ./id }\n',
    name: 'key-unreadable',
    line: 2,
    field: 'host.key',
    says: ['/id', 'a readable file'],
  },
  {
    what: 'a key where its file should be named',
    yaml: 'track: [apt]\nhost:\n  name: lab\n  key: |\n    -----BEGIN PRIVATE KEY-----\n',
    name: 'job-bad-value',
    line: 4,
    field: 'host.key',
    says: ['path of a key file', 'key-env'],
  },
  {
    what: 'a variable that holds no key',
    yaml: 'track: [apt]\nhost: { name: lab, key-env: LAB_KEY }\n',
    name: 'key-missing',
    line: 2,
    field: 'host.key-env',
    says: ['LAB_KEY is not set'],
  },
  {
    what: 'an SSH configuration that is not there',
    yaml: 'track: [apt]\nhost: { name: lab, ssh-config: ./ssh_config }\n',
    name: 'ssh-config-bad',
    line: 2,
    field: 'host.ssh-config',
    says: ['/ssh_config', 'a file, or none'],
  },
  {
    what: 'a backend that is not named',
    yaml: 'track: [apt]\nhost: { type: backend, with: {} }\n',
    name: 'job-missing-field',
    line: 2,
    field: 'host.use',
    says: ['ES module or an executable'],
  },
  {
    what: 'a backend that is not there',
    yaml: 'track: [apt]\nhost: backend:./box.mjs\n',
    name: 'backend-bad',
    line: 2,
    field: 'host.use',
    says: ['/box.mjs', 'cannot be read'],
  },
  {
    what: 'an SSH host with a backend',
    yaml: 'track: [apt]\nhost: { type: ssh, name: lab, use: ./box }\n',
    name: 'host-conflict',
    line: 2,
    field: 'host.use',
    says: ['type is ssh', 'use'],
  },
  {
    what: 'a known_hosts file that is not there',
    yaml: 'track: [apt]\nhost: { name: lab, agent: /run/agent, known-hosts: ./known }\n',
    name: 'known-hosts-missing',
    line: 2,
    field: 'host.known-hosts',
    says: ['/known', 'a readable file, or lines'],
  },
  {
    what: 'a scratch root on another machine',
    yaml: 'track: [apt]\nscratch: .\nhost: { name: lab, agent: /run/agent }\n',
    name: 'job-bad-value',
    line: 2,
    field: 'scratch',
    says: ['host: local'],
  },
];

describe('a bad host is refused, naming place and allowed values:', () => {
  test.each(cases)('$what', expectRefused);
});

test('a key that was put in the job file is not repeated in the message', async () => {
  const yaml = 'track: [apt]\nhost: { name: lab, key: "-----BEGIN PRIVATE KEY----- c2VjcmV0" }\n';
  expect(explain(await refusal(load(yaml)))).not.toContain('c2VjcmV0');
});
