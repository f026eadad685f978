/**
 * Takes the keys that start with `x-` out of every mapping with fixed keys, so that the rest can
 * be checked strictly. Gives them by their dotted path. Mappings of variables (`env`) have none.
 */
export function takeExtensions(data: unknown): {
  rest: unknown;
  extensions: Record<string, unknown>;
} {
  const extensions: Record<string, unknown> = {};
  return { rest: take(data, [], extensions), extensions };
}

function take(node: unknown, path: string[], extensions: Record<string, unknown>): unknown {
  if (Array.isArray(node)) {
    return node.map((item, index) => take(item, [...path, String(index)], extensions));
  }
  if (typeof node !== 'object' || node === null) return node;
  // Names of variables, and what a backend is told, are not ours.
  if (path.at(-1) === 'env' || path.join('.') === 'host.with') return node;
  const kept: [string, unknown][] = [];
  for (const [key, value] of Object.entries(node)) {
    const inner = [...path, key];
    if (key.startsWith('x-')) extensions[inner.join('.')] = value;
    else kept.push([key, take(value, inner, extensions)]);
  }
  return Object.fromEntries(kept);
}
