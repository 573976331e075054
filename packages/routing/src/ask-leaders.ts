import { OttlaError, toOttlaError } from "@ottla/errors";
import type { PartitionPlacement } from "./leader-view.ts";

export interface PartitionRef {
  readonly topicId: string;
  readonly partition: number;
}

/** One of the items for a leader, and the epoch in which it is asked. */
export interface ItemForLeader<Item> {
  readonly item: Item;
  readonly leaderEpoch: number;
}

export interface AskLeadersOptions<Item extends PartitionRef, Answer> {
  readonly items: readonly Item[];
  /** Throws when there is no leader. */
  readonly leaderOf: (item: Item) => PartitionPlacement;
  /** One answer for each item, in their order. */
  readonly ask: (nodeId: number, items: readonly ItemForLeader<Item>[]) => Promise<(Answer | OttlaError)[]>;
}

/** How many items go into one call: what a node takes at once, with room for answers in one message. */
const MAX_ITEMS_PER_CALL = 5_000;

/** Asks each leader for its items (those at the indexes of `open`) and puts what it says into `answers`. */
export async function askLeaders<Item extends PartitionRef, Answer>(
  options: AskLeadersOptions<Item, Answer>,
  open: readonly number[],
  answers: (Answer | OttlaError)[],
): Promise<void> {
  const { items, leaderOf, ask } = options;
  const calls: { nodeId: number; items: (ItemForLeader<Item> & { index: number })[] }[] = [];
  const current = new Map<number, (typeof calls)[number]>();
  for (const index of open) {
    const item = items[index];
    if (item === undefined) continue;
    try {
      const { leader: nodeId, leaderEpoch } = leaderOf(item);
      let call = current.get(nodeId);
      if (call === undefined || call.items.length >= MAX_ITEMS_PER_CALL) {
        call = { nodeId, items: [] };
        current.set(nodeId, call);
        calls.push(call);
      }
      call.items.push({ index, item, leaderEpoch });
    } catch (thrown) {
      answers[index] = toOttlaError(thrown);
    }
  }
  await Promise.all(
    calls.map(async (call) => {
      try {
        const found = await ask(call.nodeId, call.items);
        call.items.forEach(({ index }, position) => {
          answers[index] =
            found[position] ?? new OttlaError("UNKNOWN_SERVER_ERROR", "the leader gave no answer");
        });
      } catch (thrown) {
        const error = toOttlaError(thrown);
        for (const { index } of call.items) answers[index] = error;
      }
    }),
  );
}
