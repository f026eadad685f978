import { matchesPatterns } from '../known-hosts.ts';
import { type ConfigFile, includedFiles, readConfigFile } from './files.ts';
import { type MatchFacts, matches } from './match.ts';
import { badConfig, type ConfigPlace } from './problem.ts';
import { expandHome, type LocalUser } from './tokens.ts';
import { splitLine, splitWords } from './words.ts';

/** Files within files within files (readconf.c, READCONF_MAX_DEPTH). */
const deepest = 16;

/** The value of a keyword and where it was given. */
export interface Setting {
  readonly words: readonly string[];
  /** The line after the keyword, for those that take it whole. */
  readonly rest: string;
  readonly place: ConfigPlace;
}

/** What the files say about one host. */
export interface Settings {
  /** The first value of each keyword, by its name in lower case. */
  readonly single: Map<string, Setting>;
  /** IdentityFile adds up instead. */
  readonly identityFiles: Setting[];
}

/** What is known before a Match line is reached, given what has been read so far. */
export type FactsFor = (settings: Settings, isFinalPass: boolean) => MatchFacts;

/**
 * Reads the files in their order; for each keyword the first value that applies to the host
 * counts. They are read a second time when `Match final` asks for it.
 * @param original the host as it was asked for, which Host lines are compared with
 * @throws SavepointError `ssh-config-bad`, `ssh-config-program`
 */
export async function readSettings(
  files: readonly ConfigFile[],
  original: string,
  local: LocalUser,
  factsFor: FactsFor,
): Promise<Settings> {
  const settings: Settings = { single: new Map(), identityFiles: [] };
  let again = false;
  for (const isFinalPass of [false, true]) {
    if (isFinalPass && !again) break;
    const facts = () => ({
      ...factsFor(settings, isFinalPass),
      wantFinalPass: () => {
        again = true;
      },
    });
    const reader = new Reader(settings, original, local, facts);
    for (const file of files) await reader.read(file, true, 0);
  }
  return settings;
}

class Reader {
  readonly #settings: Settings;
  readonly #original: string;
  readonly #local: LocalUser;
  readonly #facts: () => MatchFacts;

  constructor(settings: Settings, original: string, local: LocalUser, facts: () => MatchFacts) {
    this.#settings = settings;
    this.#original = original;
    this.#local = local;
    this.#facts = facts;
  }

  /** @param applies whether the block that includes the file does */
  async read(file: ConfigFile, applies: boolean, depth: number): Promise<void> {
    const text = await readConfigFile(file);
    let active = applies;
    for (const [index, line] of (text ?? '').split('\n').entries()) {
      const place = { file: file.path, line: index + 1 };
      const parts = splitLine(line);
      if (!parts) continue;
      const { keyword, rest } = parts;
      const words = splitWords(rest);
      if (!words) throw badConfig(place, 'A quote is not closed.', { found: rest });
      if (rest === '') throw badConfig(place, `${keyword} has no value.`);
      if (keyword === 'host') {
        active = applies && this.#matchesHost(words);
      } else if (keyword === 'match') {
        active = applies && (await matches(rest, place, this.#facts()));
      } else if (keyword === 'include') {
        await this.#include(words, file, place, active, depth);
      } else if (active) {
        this.#set(keyword, { words, rest, place });
      }
    }
  }

  #matchesHost(patterns: readonly string[]): boolean {
    return matchesPatterns(patterns, this.#original, 'exact');
  }

  async #include(
    patterns: readonly string[],
    from: ConfigFile,
    place: ConfigPlace,
    active: boolean,
    depth: number,
  ): Promise<void> {
    if (depth >= deepest) throw badConfig(place, `Include is nested more than ${deepest} deep.`);
    for (const pattern of patterns) {
      const path = expandHome(pattern, this.#local, place);
      for (const found of await includedFiles(path, from.includeFolder)) {
        await this.read({ ...from, path: found, required: true }, active, depth + 1);
      }
    }
  }

  #set(keyword: string, setting: Setting): void {
    const { single, identityFiles } = this.#settings;
    if (keyword === 'identityfile') {
      const same = (other: Setting) => other.words[0] === setting.words[0];
      if (!identityFiles.some(same)) identityFiles.push(setting);
      return;
    }
    // Of the two ways to a proxy the first that is named counts, whichever it is.
    const proxies = ['proxyjump', 'proxycommand'];
    if (proxies.includes(keyword) && proxies.some((name) => single.has(name))) return;
    if (!single.has(keyword)) single.set(keyword, setting);
  }
}
