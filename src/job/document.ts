import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';
import { type Place, SavepointError, sentenceOf } from '../errors.ts';
import { type Override, override } from './override.ts';

/** Where a value is in a document: keys of mappings and indexes of lists. */
export type FieldPath = readonly (string | number)[];

/** One job as it is written, with the place of everything in it. */
export interface JobDocument {
  readonly data: unknown;
  /** Where the field is, or the nearest thing around it that was written down. */
  place(path: FieldPath): Place;
  /** What set the field from outside of the job file, if something did. */
  setBy(path: FieldPath): string | undefined;
}

/**
 * Reads the YAML text of a job file: one job per document.
 * @throws SavepointError `job-file-syntax`, `set-bad`
 */
export function readDocuments(
  text: string,
  file: string,
  overrides: readonly Override[],
): JobDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
  }) as Document.Parsed[];
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  if (documents.length === 0) {
    throw new SavepointError('job-file-syntax', {
      message: 'The job file is empty.',
      place: { file },
    });
  }
  return documents.map((document) => {
    // A warning is an unknown tag or directive: not something to guess at.
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) {
      throw new SavepointError('job-file-syntax', {
        message: `The job file is not valid YAML: ${problem.message}`,
        place: at(problem.pos[0]),
      });
    }
    keepEnvText(document);
    const start = at(document.contents?.range?.[0] ?? document.range[0]);
    return withPlaces(toData(document, start), overrides, (path) => {
      const offset = offsetOf(document.contents, path);
      return offset === undefined ? start : at(offset);
    });
  });
}

/** A job with no file behind it: only what options or inputs say. */
export function documentOf(overrides: readonly Override[]): JobDocument {
  return withPlaces({}, overrides, () => ({}));
}

function withPlaces(
  data: unknown,
  overrides: readonly Override[],
  locate: (path: FieldPath) => Place,
): JobDocument {
  // The deepest part of the path that is written in the document, or was set from outside.
  const setBy = (path: FieldPath): string | undefined => {
    for (let depth = path.length; depth > 0; depth--) {
      const inner = path.slice(0, depth);
      const above = overrides.findLast((one) => startsWith(inner, one.path));
      if (above) return above.from;
      if (has(data, inner)) return undefined;
      const below = overrides.findLast((one) => startsWith(one.path, inner));
      if (below) return below.from;
    }
    return undefined;
  };
  const place = (path: FieldPath): Place => ({
    ...(setBy(path) === undefined && locate(path)),
    ...(path.length > 0 && { field: fieldName(path) }),
  });
  return {
    // An option that contradicts the file is complained about where the file says otherwise.
    data: isMapping(data) ? override(data, overrides, locate) : data,
    setBy,
    place,
  };
}

function startsWith(path: FieldPath, prefix: FieldPath): boolean {
  return prefix.every((key, depth) => String(path[depth]) === String(key));
}

function has(data: unknown, path: FieldPath): boolean {
  let node = data;
  for (const key of path) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return false;
    node = (node as Record<string | number, unknown>)[key];
  }
  return true;
}

function isMapping(data: unknown): boolean {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

function fieldName(path: FieldPath): string {
  return path
    .map((key, depth) => (typeof key === 'number' ? `[${key}]` : depth > 0 ? `.${key}` : key))
    .join('');
}

function toData(document: Document.Parsed, place: Place): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    // Unresolved aliases, and aliases that would blow up the document.
    throw new SavepointError('job-file-syntax', {
      message: `The job file is not valid YAML: ${sentenceOf(cause)}`,
      place,
      cause,
    });
  }
}

/** YAML reads 1.10 as 1.1 and 0o7 as 7; an environment variable must stay as it is written. */
function keepEnvText(document: Document.Parsed): void {
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || key.value !== 'env' || !isMap(value)) return;
      for (const { value: variable } of value.items) {
        if (!isScalar(variable) || variable.source === undefined) continue;
        if (typeof variable.value === 'number' || typeof variable.value === 'boolean') {
          variable.value = variable.source;
        }
      }
    },
  });
}

/** Where the deepest part of the path that exists begins: its key, or the item of a list. */
function offsetOf(contents: Node | null, path: FieldPath): number | undefined {
  let node: unknown = contents;
  let offset: number | undefined;
  for (const key of path) {
    if (isAlias(node)) return offset;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (!isPair(pair)) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}
