/** Letters to add, remove or change to make one word of the other. */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const change = left[row - 1] === right[column - 1] ? 0 : 1;
      const candidates = [
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + change,
      ];
      current.push(Math.min(...candidates));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}

const LONGEST_COMPARED = 100;

/** How much of a word may be wrong in a slip of the hand. */
const LARGEST_SLIP = 0.4;

/** `lease-ttl` for `cluster-lease-ttl-ms`: the right words, and not all of them. */
function containsWordsOf(word: string, name: string): boolean {
  const parts = (text: string): string[] =>
    text
      .toLowerCase()
      .split(/[-._]+/)
      .filter(Boolean);
  const named = new Set(parts(name));
  return parts(word).every((part) => named.has(part));
}

/**
 * The known name that a mistyped one most likely meant: the nearest that is a slip of the hand away, or else
 * the one that has all of its words. Undefined where there is none, or the word is too long for one.
 */
export function nearestName(word: string, names: Iterable<string>): string | undefined {
  const known = [...names];
  if (word.length > LONGEST_COMPARED) return undefined;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  if (best === undefined || best.distance <= Math.max(1, LARGEST_SLIP * word.length)) return best?.name;
  return known.find((name) => containsWordsOf(word, name));
}
