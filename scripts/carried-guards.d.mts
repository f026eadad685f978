import type { Guards } from '../src/guard/carried.ts';

export declare function carriedGuards(releases: Record<string, string>, pinned: string): Guards;
