import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";

/** What one request may name of topics or resources; Kafka's tools name far fewer. */
export const MAX_ITEMS = 10_000;

/** So many items are worked on at once; then other connections get their turn. */
const SLICE_ITEMS = 100;

/** Throws INVALID_REQUEST, which the whole request is then answered with. */
export function checkItemCount(field: string, count: number, limit = MAX_ITEMS): void {
  if (count <= limit) return;
  throw new OttlaError("INVALID_REQUEST", `${field}: ${count} exceeds the limit ${limit}`, {
    metadata: { field, limit: String(limit) },
  });
}

/** The first item of each key, in their order. */
export function firstOfEach<Item>(items: readonly Item[], keyOf: (item: Item) => string): Item[] {
  const firsts = new Map<string, Item>();
  for (const item of items) {
    const key = keyOf(item);
    if (!firsts.has(key)) firsts.set(key, item);
  }
  return [...firsts.values()];
}

/** Works on the items in slices, and lets the event loop turn between them; the answers keep the order. */
export async function inSlices<Item, Answer>(
  clock: Pick<Clock, "nextTurn">,
  items: readonly Item[],
  work: (item: Item) => Answer | Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let first = 0; first < items.length; first += SLICE_ITEMS) {
    if (first > 0) await new Promise<void>((resolve) => clock.nextTurn(resolve));
    for (const answer of await Promise.all(items.slice(first, first + SLICE_ITEMS).map(work))) {
      answers.push(answer);
    }
  }
  return answers;
}
