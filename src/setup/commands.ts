import { scriptField } from '../guard/protocol.ts';
import { presetNames, presetOf } from '../job/presets.ts';

/** A command of a policy for people: by its preset, else its first line. */
export function commandShown(kind: 'refresh' | 'probe', command: string): string {
  const preset = presetNames.find((name) => {
    const script = presetOf(name)[kind];
    return script !== undefined && scriptField(script) === command;
  });
  if (preset !== undefined) return `that of the preset ${preset}`;
  const [first = '', ...more] = scriptOf(command).split('\n');
  return more.length === 0 ? first : `${first} … (${more.length + 1} lines)`;
}

/** The script that `scriptField` made a field of. */
function scriptOf(field: string): string {
  const [, escaped] = /^eval "\$\(printf %b '(.*)'\)"$/.exec(field) ?? [];
  if (escaped === undefined) return field;
  const text = escaped.replaceAll("'\\''", "'");
  return text.replace(/\\(.)/g, (_all, next: string) => (next === 'n' ? '\n' : next));
}
