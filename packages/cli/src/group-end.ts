import type { GroupOffset, Ottla, TopicPartition } from "@ottla/client";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";

export interface GroupEndOptions {
  readonly group: string;
  /** All partitions of its topics. */
  readonly places: readonly TopicPartition[];
  /** Where the group starts in partitions in which it has no place. */
  readonly from: "earliest" | "latest";
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

interface End extends TopicPartition {
  readonly offset: bigint;
}

const LOOK_MS = 200;

/**
 * Resolves when the group, all its members together, is done with what its topics held when this was called;
 * rejects when the signal aborts.
 */
export async function untilGroupHasRead(ottla: Ottla, options: GroupEndOptions): Promise<void> {
  const { clock, signal } = options;
  const ends = await endsToReach(ottla, options);
  for (;;) {
    signal.throwIfAborted();
    const places = await placesOf(ottla, options.group);
    if (ends.every((end) => (placeIn(places, end)?.committedOffset ?? -1n) >= end.offset)) return;
    await clock.sleep(LOOK_MS, signal);
  }
}

/** Partitions without records, and those where the group starts behind all there is, need no waiting. */
async function endsToReach(ottla: Ottla, { group, places, from }: GroupEndOptions): Promise<End[]> {
  const list = async (at: "earliest" | "latest") =>
    ottla.admin().listOffsets(places.map((place) => ({ ...place, at })));
  const [starts, ends, known] = await Promise.all([list("earliest"), list("latest"), placesOf(ottla, group)]);
  return places.flatMap((place, index) => {
    const end = { ...place, offset: ends[index]?.offset ?? 0n };
    const hasPlace = (placeIn(known, end)?.committedOffset ?? -1n) >= 0n;
    const isEmpty = end.offset <= (starts[index]?.offset ?? 0n);
    return isEmpty || (from === "latest" && !hasPlace) ? [] : [end];
  });
}

async function placesOf(ottla: Ottla, group: string): Promise<readonly GroupOffset[]> {
  try {
    return (await ottla.groups().describe(group)).offsets;
  } catch (thrown) {
    // Nobody has joined it yet.
    if (thrown instanceof OttlaError && thrown.code === "GROUP_ID_NOT_FOUND") return [];
    throw thrown;
  }
}

function placeIn(
  places: readonly GroupOffset[],
  { topic, partition }: TopicPartition,
): GroupOffset | undefined {
  return places.find((place) => place.topic === topic && place.partition === partition);
}
