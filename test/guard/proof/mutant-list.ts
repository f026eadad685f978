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
    edits: [['flush "$state" && flush_tracked ||', 'flush_tracked ||']],
    tries: power('rollback', ...split),
  },
  {
    name: 'the originals are not flushed before the transaction is armed',
    edits: [['flush "$state" && flush_tracked ||', 'flush "$state" ||']],
    tries: power('begin'),
    unseen: 'the world is on the disk before the begin, as an old configuration is',
  },
  {
    name: 'staged files are not flushed before they are renamed',
    edits: [
      ['each_new_directory stage_new && flush_tracked ||', 'each_new_directory stage_new ||'],
    ],
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
      ['decide() {\n  if [ ! -e "$tx/decision" ]; then', 'decide() {\n  if :; then'],
    ],
    tries: [{ sweep: 'race', scenario: 'who decides', fs: 'ext4' }],
  },
  {
    name: 'no lock: two guards work at once',
    edits: [['lock() {\n', 'lock() {\n  return 0\n']],
    tries: [
      { sweep: 'race', scenario: 'who begins', fs: 'ext4' },
      { sweep: 'race', scenario: 'who decides', fs: 'ext4' },
    ],
  },
  {
    name: 'files are copied over their targets instead of renamed',
    edits: [['into "$to" mv -f <"$work/moving"', 'into "$to" cp -a <"$work/moving"']],
    tries: kill('apply', 'rollback'),
  },
  {
    name: 'armed is marked before there is a backup',
    edits: [['  back_up\n', '  boot_id | put "$tx/armed"\n  back_up\n']],
    tries: kill('begin'),
  },
  {
    name: 'stages are not cleared in the end',
    edits: [['  clear_stages\n  rm -f "$tx/reserve"\n', '  rm -f "$tx/reserve"\n']],
    tries: kill('commit', 'apply', 'rollback'),
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
        'put_back && restore_directories && flush_tracked && verify',
        'put_back && restore_directories && verify',
      ],
    ],
    tries: power('rollback', ...split),
  },
  {
    name: 'times are trusted after a reboot',
    edits: [['-z "${thorough:-}" ] || distrust ||', '-z "${thorough:-}" ] || : ||']],
    tries: power('rollback of an overwrite'),
  },
  {
    name: 'directories do not get their metadata back',
    edits: [['put_back && restore_directories &&', 'put_back &&']],
    tries: kill('rollback'),
  },
  {
    name: 'the archive keeps no extended attributes',
    edits: [
      [
        "--xattrs-include='*' --acls --selinux --no-recursion --same-order",
        '--no-xattrs --no-acls --no-selinux --no-recursion --same-order',
      ],
    ],
    tries: kill('rollback'),
  },
  {
    name: 'what was added is not removed',
    edits: [['remove_added() {\n', 'remove_added() {\n  return 0\n']],
    tries: kill('rollback'),
  },
  {
    name: 'the host is given free before the restore has begun',
    edits: [['conclude() {\n', 'conclude() {\n  rm -f "$state/open"\n']],
    tries: kill('rollback', 'watchdog'),
  },
  {
    name: 'the outcome is recorded before the restore',
    edits: [
      [
        '      if [ "$decision" = rollback ]; then restore;',
        '      echo rolled-back | put "$tx/outcome"\n      if [ "$decision" = rollback ]; then restore;',
      ],
    ],
    tries: kill('rollback'),
  },
  {
    name: 'files that `put` replaces are not synced',
    edits: [['cat >"$1.$$" && sync "$1.$$" && mv', 'cat >"$1.$$" && mv']],
    tries: [...power('begin'), ...power('rollback'), ...power('commit')],
    unseen: 'an empty marker is read as none, and what it stands for is then done again',
  },
  {
    name: 'a failed fsync is overlooked',
    edits: [
      [
        'decide commit "${reason:-controller}" || fail',
        'decide commit "${reason:-controller}" || : fail',
      ],
    ],
    tries: [{ sweep: 'fault', scenario: 'commit', fs: 'ext4' }],
  },
];
