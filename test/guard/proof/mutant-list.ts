import type { Mutant, Try } from './mutants.ts';

const split = ['ext4+xfs', 'xfs+ext4'] as const;
const kill = (...names: string[]): Try[] =>
  names.map((scenario) => ({ sweep: 'kill', scenario, fs: 'ext4' }));
const power = (scenario: string, ...on: Try['fs'][]): Try[] =>
  (on.length > 0 ? on : (['ext4', 'xfs', ...split] as const)).map((fs) => ({
    sweep: 'power',
    scenario,
    fs,
  }));

/** What the guard must not do without, one at a time. */
export const mutants: readonly Mutant[] = [
  {
    name: 'the backup is not flushed before the transaction is armed',
    edits: [['&& flush_tracked "$state" ||', '&& flush_tracked ||']],
    tries: power('rollback', ...split),
  },
  {
    name: 'the originals are not flushed before the transaction is armed',
    edits: [['&& flush_tracked "$state" ||', '&& flush "$state" ||']],
    tries: power('begin'),
    unseen: 'the world is on the disk before the begin, as an old configuration is',
  },
  {
    name: 'staged files are not flushed before they are renamed',
    edits: [['stage_new &&\n    flush_tracked ||', 'stage_new ||']],
    tries: power('apply'),
  },
  {
    name: 'what the job wrote is not flushed before a commit is decided',
    edits: [['{ clear_stages && flush_tracked; }', 'clear_stages']],
    tries: power('commit'),
  },
  {
    name: 'the decision is not synced before it is linked',
    edits: [['>"$tx/decision.$$" && sync "$tx/decision.$$" ||', '>"$tx/decision.$$" ||']],
    tries: power('commit'),
  },
  {
    name: 'the decision is renamed over an earlier one, and nobody looks for one',
    edits: [
      [
        'ln "$tx/decision.$$" "$tx/decision" 2>/dev/null ||',
        'mv -f "$tx/decision.$$" "$tx/decision" ||',
      ],
      ['  if [ ! -e "$tx/decision" ]; then\n    echo', '  if :; then\n    echo'],
    ],
    tries: [{ sweep: 'race', scenario: 'who decides', fs: 'ext4' }],
  },
  {
    name: 'no lock: two guards work at once',
    edits: [['  [ -d "$state/lock" ] || mkdir', '  return 0 || mkdir']],
    tries: [
      { sweep: 'race', scenario: 'who begins', fs: 'ext4' },
      { sweep: 'race', scenario: 'who decides', fs: 'ext4' },
    ],
  },
  {
    name: 'files are copied over their targets instead of renamed',
    edits: [
      ['|| { mv -f -- "$@" "$to/" && set --; }', '|| { cp -a -- "$@" "$to/" && set --; }'],
      ['|| mv -f -- "$@" "$to/"\n}', '|| cp -a -- "$@" "$to/"\n}'],
    ],
    tries: kill('apply', 'rollback'),
  },
  {
    name: 'armed is marked before there is a backup',
    edits: [['&& preflight && back_up', '&& preflight && put "$tx/armed" "$boot" && back_up']],
    tries: kill('begin'),
  },
  {
    name: 'stages are not cleared',
    edits: [
      ['[ ! -e "$dir/.savepoint.$id" ] || rm -rf "$dir/.savepoint.$id"; done', ':; done'],
      ['  present stages_within &&', '  '],
    ],
    tries: kill('apply', 'rollback'),
  },
  {
    name: 'no inodes are set aside for a rollback on a full disk',
    edits: [['while [ $inodes -gt 0 ]; do', 'while false; do']],
    tries: [{ sweep: 'full disk', scenario: 'rollback', fs: 'ext4' }],
  },
  {
    name: 'no space is set aside for a rollback on a full disk',
    edits: [['head -c "$((bytes + 1048576))" /dev/zero >"$tx/reserve/bytes" ||', ': ||']],
    tries: [{ sweep: 'full disk', scenario: 'rollback', fs: 'ext4' }],
  },
  {
    name: 'a file that could not be hashed is passed over',
    edits: [
      ['digests "$tx/files" >"$tx/sums" &&', '{ digests "$tx/files" >"$tx/sums" || :; } &&'],
      ['      exit sums != count }', '      exit 0 }'],
    ],
    tries: [{ sweep: 'fault', scenario: 'begin', fs: 'ext4', fault: 'EIO-READ' }],
  },
  {
    name: 'attributes that could not be written are passed over',
    edits: [['print } END { exit !whole }\' >"$2"\n}', 'print }\' >"$2" || :\n}']],
    tries: [{ sweep: 'fault', scenario: 'begin', fs: 'ext4', program: 'awk' }],
  },
  {
    name: 'an attribute that could not be copied is passed over',
    edits: [["whole='cp -a --preserve=xattr --no", "whole='cp -a --no"]],
    tries: [{ sweep: 'fault', scenario: 'apply', fs: 'ext4', fault: 'EROFS' }],
  },
  {
    name: 'the restored stage is not flushed before it is renamed',
    edits: [[' && flush "$stage/"', '']],
    tries: power('rollback'),
  },
  {
    name: 'the restored paths are not flushed before the outcome is recorded',
    edits: [
      [
        'restore_directories && verify; }; } && flush_tracked || continue',
        'restore_directories && verify; }; } || continue',
      ],
    ],
    tries: power('rollback', ...split),
  },
  {
    name: 'times are trusted after a reboot',
    edits: [['same_boot; } || doubt ||', 'same_boot; } || : ||']],
    tries: power('rollback of an overwrite'),
  },
  {
    name: 'directories do not get their metadata back',
    edits: [
      [' && restore_directories && {', ' && {'],
      ['each "$work/extra" drop && restore_directories &&', 'each "$work/extra" drop &&'],
    ],
    tries: kill('rollback'),
  },
  {
    name: 'the archive keeps no extended attributes',
    edits: [
      [
        '--occurrence=1 $metadata --',
        '--occurrence=1 $metadata --no-xattrs --no-acls --no-selinux --',
      ],
    ],
    tries: kill('rollback'),
  },
  {
    name: 'what was added is not removed',
    edits: [['      if (!theirs(p)) clear(p) } }', '      } }']],
    tries: kill('rollback'),
  },
  {
    name: 'the outcome is recorded before the restore',
    edits: [
      [
        '    if [ "$decision" = rollback ]; then restore ||',
        '    put "$tx/outcome" rolled-back\n    if [ "$decision" = rollback ]; then restore ||',
      ],
    ],
    tries: kill('rollback'),
  },
  {
    name: 'files that `put` replaces are not synced',
    edits: [['>"$1.$$" && sync "$1.$$" && mv', '>"$1.$$" && mv']],
    tries: [...power('begin'), ...power('rollback'), ...power('commit')],
    unseen: 'an empty marker is read as none, and what it stands for is then done again',
  },
  {
    name: 'a failed fsync is overlooked',
    edits: [
      [
        'decide "$1" "${reason:-controller}" || fail',
        'decide "$1" "${reason:-controller}" || : fail',
      ],
    ],
    tries: [{ sweep: 'fault', scenario: 'commit', fs: 'ext4' }],
  },
];
