const secondsPer: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** How a duration is written, as text: a whole number and a unit. */
export const durationPattern = /^(0|[1-9][0-9]*)(s|m|h|d)?$/;

/** For messages: what a duration may look like. */
export const durationForms =
  'whole seconds (90), or a whole number with s, m, h or d (90s, 5m, 2h)';

/** A duration in seconds, or undefined when the text is not one. */
export function parseDuration(text: string): number | undefined {
  const match = durationPattern.exec(text);
  if (!match) return undefined;
  return Number(match[1]) * (secondsPer[match[2] ?? 's'] ?? 1);
}

/** A duration as a person would write it: the largest unit that gives a whole number. */
export function formatDuration(seconds: number): string {
  const unit = ['d', 'h', 'm'].find((name) => {
    const size = secondsPer[name] ?? 1;
    return seconds >= size && seconds % size === 0;
  });
  return unit ? `${seconds / (secondsPer[unit] ?? 1)}${unit}` : `${seconds}s`;
}
