import type { PartitionRef } from "@ottla/metadata";
import { failureOf, type KafkaFailure } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

/**
 * Compares the leader epoch that a client believes in with the metadata (KIP-320): an
 * older one is fenced, a newer one is unknown even after a look at the store. Undefined
 * when they agree, or when the client names none.
 */
export async function checkLeaderEpoch(
  { view, topics }: Pick<KafkaServices, "view" | "topics">,
  topicId: string,
  partition: number,
  epoch: number,
): Promise<KafkaFailure | undefined> {
  if (epoch < 0) return undefined;
  const ref: PartitionRef = { topicId, partition };
  const epochNow = (): number => view.partition(ref.topicId, ref.partition)?.leaderEpoch ?? -1;
  if (epoch > epochNow()) await topics.refresh();
  const known = epochNow();
  if (epoch === known) return undefined;
  return epoch < known
    ? failureOf("FENCED_LEADER_EPOCH", `the leader epoch is ${known}, not ${epoch} any more`)
    : failureOf("UNKNOWN_LEADER_EPOCH", `the leader epoch is ${known}; ${epoch} is not known yet`);
}
