import type { ErrorRecord, ProcessEnd } from '../run/events.ts';
import { plain } from './plain.ts';

/** `0.04 s`, `2.5 s`, `75 s`, `12 min`, `3 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `812 B`, `36 KiB`, `1.5 GiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  const digits = unit > 0 && size < 10 ? 1 : 0;
  return `${size.toFixed(digits)} ${units[unit]}`;
}

/** `1 file`, `3 files`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** What a failed phase is remembered by: its exit status where the command had one. */
export function failure(error: ErrorRecord, end: ProcessEnd = {}): string {
  const commandFailed = error.name === 'phase-failed' || error.name === 'check-failed';
  if (commandFailed && end.exit !== undefined) return `exit status ${end.exit}`;
  if (commandFailed && end.signal) return `ended by ${end.signal}`;
  return `${plain(error.reason)} [${error.code} ${error.name}]`;
}
