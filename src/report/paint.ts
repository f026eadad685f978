export interface Painter {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  /** A line of a unified diff. */
  diff(line: string): string;
}

/** Colors by SGR sequences (ECMA-48 §8.3.117), or the text as it is. */
export function painter(color: boolean): Painter {
  const sgr = (on: number, off: number) => (text: string) =>
    color ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  const green = sgr(32, 39);
  const red = sgr(31, 39);
  return {
    bold: sgr(1, 22),
    dim: sgr(2, 22),
    good: green,
    bad: red,
    diff: (line) => (line.startsWith('+') ? green(line) : line.startsWith('-') ? red(line) : line),
  };
}
