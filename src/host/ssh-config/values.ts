import { badConfig } from './problem.ts';
import type { Setting } from './read.ts';

/** A number of seconds, or a time such as `1m30s` (sshd_config(5), TIME FORMATS). */
export function secondsOf({ words, place }: Setting): number {
  const written = words[0] ?? '';
  const units: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  const parts = [...written.matchAll(/(\d+)([smhdw]?)/gi)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== written) {
    throw badConfig(place, 'This is no time.', { found: written, allowed: '90, 90s, 1m30s' });
  }
  return parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * (units[unit?.toLowerCase() ?? ''] ?? 1),
    0,
  );
}

export function numberOf({ words, place }: Setting, most: number): number {
  const written = words[0] ?? '';
  const value = Number(written);
  if (/^\d+$/.test(written) && value <= most) return value;
  throw badConfig(place, 'This is no such number.', { found: written, allowed: `0 to ${most}` });
}

export function yesOrNo({ words, place }: Setting): boolean {
  const written = (words[0] ?? '').toLowerCase();
  if (written === 'yes' || written === 'true') return true;
  if (written === 'no' || written === 'false') return false;
  throw badConfig(place, 'This is neither yes nor no.', { found: written, allowed: 'yes, no' });
}

export function familyOf({ words, place }: Setting): 0 | 4 | 6 {
  switch (words[0]?.toLowerCase()) {
    case 'any':
      return 0;
    case 'inet':
      return 4;
    case 'inet6':
      return 6;
    default:
      throw badConfig(place, 'This is no kind of address.', {
        found: words[0] ?? '',
        allowed: 'any, inet, inet6',
      });
  }
}

/** Undefined for `none`, in whatever case of letters. */
export function unlessNone(setting: Setting | undefined): Setting | undefined {
  return setting && setting.rest.trim().toLowerCase() === 'none' ? undefined : setting;
}

/** One of the hosts of ProxyJump. */
export interface Jump {
  readonly user?: string;
  readonly host: string;
  readonly port?: number;
}

/** `[user@]host[:port]` or an ssh:// URI, with commas between. */
export function jumpsOf({ rest, place }: Setting): Jump[] {
  return rest.split(',').map((text) => {
    const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:@/[\]]+))(?::(\d+))?\/?$/.exec(
      text.trim(),
    );
    const host = match?.[2] ?? match?.[3];
    if (!match || !host) {
      throw badConfig(place, 'ProxyJump has something that is no host.', {
        found: text,
        allowed: '[user@]host[:port], ssh://user@host:port',
      });
    }
    const [, user, , , port] = match;
    return { host, ...(user && { user }), ...(port && { port: Number(port) }) };
  });
}
