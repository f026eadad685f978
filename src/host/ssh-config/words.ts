/*
 * The two ways in which OpenSSH takes a line of ssh_config apart, with their differences
 * (misc.c, `argv_split` and `strdelim`).
 */

/** A line as its keyword, in lower case, and the rest; undefined when it says nothing. */
export function splitLine(line: string): { keyword: string; rest: string } | undefined {
  const content = line.replace(/[ \t\r\n\f]+$/, '').replace(/^[ \t\r\f]+/, '');
  if (content === '' || content.startsWith('#')) return undefined;
  const match = /^"?([^ \t"=]*)"?[ \t]*=?[ \t]*(.*)$/.exec(content);
  return { keyword: (match?.[1] ?? '').toLowerCase(), rest: match?.[2] ?? '' };
}

/**
 * Words with quotes and backslashes, as most keywords take them. A `#` before a word ends the
 * line. Undefined when a quote is not closed.
 */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (text[at] === ' ' || text[at] === '\t') at++;
    if (at >= text.length || text[at] === '#') return words;
    let word = '';
    let quote = '';
    for (; at < text.length; at++) {
      const char = text[at] ?? '';
      const next = text[at + 1] ?? '';
      if (char === '\\' && (`'"\\`.includes(next) || (quote === '' && next === ' ')) && next) {
        word += next;
        at++;
      } else if (quote === '' && (char === ' ' || char === '\t')) break;
      else if (quote === '' && (char === '"' || char === "'")) quote = char;
      else if (char === quote) quote = '';
      else word += char;
    }
    if (quote !== '') return undefined;
    words.push(word);
  }
}

/** Words of a Match line: also split at `=`, with double quotes only and no backslashes. */
export function splitCriteria(text: string): string[] | undefined {
  const words: string[] = [];
  let rest = text.trim();
  while (rest !== '' && !rest.startsWith('#')) {
    const match = rest.startsWith('"')
      ? /^"([^"]*)"[ \t]*=?[ \t]*(.*)$/.exec(rest)
      : /^([^ \t"=]+)[ \t]*=?[ \t]*(.*)$/.exec(rest);
    if (!match) return undefined;
    words.push(match[1] ?? '');
    rest = match[2] ?? '';
  }
  return words;
}
