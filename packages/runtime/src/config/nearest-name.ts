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

/**
 * The known name that a mistyped one most likely meant; undefined when there is no name to choose from or the
 * word is too long to be a slip of the hand.
 */
export function nearestName(word: string, known: Iterable<string>): string | undefined {
  if (word.length > LONGEST_COMPARED) return undefined;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best?.name;
}
