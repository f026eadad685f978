import { describe, test } from 'vitest';
import { type BadInput, expectRefused } from './job-fixture.ts';

const cases: BadInput[] = [
  {
    what: 'a tracked path that is relative',
    yaml: 'track:\n  - apt\n  - etc/foo.conf\n',
    name: 'track-relative',
    line: 3,
    field: 'track[1]',
    says: ['etc/foo.conf', 'absolute'],
  },
  {
    what: 'the root directory tracked',
    yaml: 'track: [apt, /]\n',
    name: 'track-root',
    line: 1,
    field: 'track[1]',
    says: ['absolute path'],
  },
  {
    what: 'a tracked path that climbs',
    yaml: 'track: [/etc/../root]\n',
    name: 'track-bad-path',
    line: 1,
    field: 'track[0]',
    says: ['".."'],
  },
  {
    what: 'a tracked path with a line end',
    yaml: 'track: ["/etc/a\\nb"]\n',
    name: 'track-bad-path',
    line: 1,
    field: 'track[0]',
    says: ['control character', 'a\\nb'],
  },
  {
    what: "the guard's own state tracked",
    yaml: 'track: [/var/lib]\n',
    name: 'track-reserved',
    line: 1,
    field: 'track[0]',
    says: ['/var/lib/savepoint'],
  },
  {
    what: 'a preset that does not exist',
    yaml: 'track: [atp]\n',
    name: 'track-unknown-preset',
    line: 1,
    field: 'track[0]',
    says: ['apt, dnf, yum, zypper, apk, pacman, pip, npm, docker', 'Did you mean "apt"?'],
  },
  {
    what: 'files that are not there',
    yaml: 'track: [apt]\nfiles: ./files\n',
    name: 'files-missing',
    line: 2,
    field: 'files',
    says: ['a directory', 'files'],
  },
  {
    what: 'files that are a file',
    yaml: 'track: [apt]\nfiles: ./patch.diff\n',
    files: { 'patch.diff': '' },
    name: 'files-missing',
    line: 2,
    field: 'files',
    says: ['patch.diff', 'a directory'],
  },
  {
    what: 'a path to remove that is not tracked',
    yaml: 'track: [apt]\nremove:\n  - /etc/apt/sources.list\n  - /etc/aptly.conf\n',
    name: 'remove-outside-tracked',
    line: 4,
    field: 'remove[1]',
    says: ['/etc/aptly.conf', '/etc/apt, /usr/share/keyrings'],
  },
];

describe('a bad tracked path is refused, naming place and allowed values:', () => {
  test.each(cases)('$what', expectRefused);
});
