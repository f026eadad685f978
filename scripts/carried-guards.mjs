// What a bundle carries of the guards: the pinned release as it is, so that it can be read and searched
// for, and of each other what no release before it has. Node reads and compiles a bundle at each start,
// and whole releases, nearly all of whose lines are the same, would be a tenth of it.

/** What `releasedTexts` of src/guard/carried.ts makes the texts of again, by their versions. */
export function carriedGuards(releases, pinned) {
  const text = releases[pinned];
  const known = text.split('\n');
  const others = {};
  for (const [version, other] of Object.entries(releases)) {
    if (version === pinned) continue;
    const lines = other.split('\n');
    others[version] = partsOf(lines, known);
    known.push(...lines);
  }
  return { order: Object.keys(releases), text, others };
}

/** Lines as runs of known ones, [first, count], and others. */
function partsOf(lines, known) {
  const parts = [];
  for (let at = 0; at < lines.length; ) {
    const [first, count] = longestRun(lines, at, known);
    if (count > 0) parts.push([first, count]);
    else parts.push(lines[at]);
    at += Math.max(count, 1);
  }
  return parts;
}

function longestRun(lines, at, known) {
  let longest = [0, 0];
  for (
    let first = known.indexOf(lines[at]);
    first >= 0;
    first = known.indexOf(lines[at], first + 1)
  ) {
    let count = 0;
    while (at + count < lines.length && known[first + count] === lines[at + count]) count++;
    if (count > longest[1]) longest = [first, count];
  }
  return longest;
}
