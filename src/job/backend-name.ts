const prefix = 'backend:';

/** `backend:FILE` as the mapping that means the same; undefined for what names no backend. */
export function parseBackend(text: string): { type: 'backend'; use: string } | undefined {
  const use = text.startsWith(prefix) ? text.slice(prefix.length) : '';
  return use === '' ? undefined : { type: 'backend', use };
}
