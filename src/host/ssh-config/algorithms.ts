import { matchesPatterns } from '../known-hosts.ts';
import type { AlgorithmList } from '../ssh-algorithms.ts';
import { badConfig } from './problem.ts';
import type { Setting } from './read.ts';

/**
 * A list of algorithms as ssh_config(5) writes it: `a,b` is exactly these, `+a` adds to those
 * that are offered anyway, `-a` takes away (with patterns), `^a` puts in front. What ssh2 does
 * not know is left out.
 * @throws SavepointError `ssh-config-bad` when nothing is left to offer
 */
export function algorithmsOf(setting: Setting, list: AlgorithmList<string>): string[] {
  const written = setting.words[0] ?? '';
  const operator = /^[-+^]/.exec(written)?.[0];
  const names = (operator ? written.slice(1) : written).split(',');
  const all = [...list.usual, ...list.legacy];
  const known = names.filter((name) => all.includes(name));
  const usualWithout = (isLeftOut: (name: string) => boolean) =>
    list.usual.filter((name) => !isLeftOut(name));
  const choose = () => {
    switch (operator) {
      case '+':
        return [...list.usual, ...known.filter((name) => !list.usual.includes(name))];
      case '-':
        return usualWithout((name) => matchesPatterns(names, name, 'exact'));
      case '^':
        return [...known, ...usualWithout((name) => known.includes(name))];
      default:
        return known;
    }
  };
  const chosen = choose();
  if (chosen.length > 0) return chosen;
  throw badConfig(setting.place, 'None of these algorithms is supported.', {
    found: written,
    allowed: all.join(','),
  });
}
