import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import type { ProducerEntry } from "@ottla/log";
import type {
  ActiveProducerSchema,
  EpochEndSchema,
  EpochLookup,
  PartitionKey,
  PartitionProducersSchema,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { PartitionLeader } from "./partition-leader.ts";
import type { PartitionStore } from "./partition-store.ts";
import { errorFields } from "./refusals.ts";

/** Where a leader epoch ends, for readers that check their position (KIP-320). */
export async function answerEpochLookup(
  store: PartitionStore,
  query: EpochLookup,
): Promise<MessageInitShape<typeof EpochEndSchema>> {
  try {
    const leader = await leaderOf(store, required(query.partition), query.leaderEpoch);
    const found = leader.findEpochEnd(query.epoch, query.leaderEpoch);
    return { epoch: found?.epoch ?? -1, endOffset: BigInt(found?.endOffset ?? -1) };
  } catch (thrown) {
    return { error: errorFields(toOttlaError(thrown)) };
  }
}

/** The idempotent producers that a partition remembers. */
export function answerProducers(
  store: PartitionStore,
  { topicId, partition }: PartitionKey,
): MessageInitShape<typeof PartitionProducersSchema> {
  try {
    const leader = store.find(topicId, partition, -1);
    if (leader === undefined) {
      const message = `this node does not lead partition ${partition} of topic id ${topicId}`;
      throw new OttlaError("NOT_LEADER_OR_FOLLOWER", message);
    }
    return { producers: Array.from(leader.producers(), describe) };
  } catch (thrown) {
    return { error: errorFields(toOttlaError(thrown)) };
  }
}

function describe(entry: ProducerEntry): MessageInitShape<typeof ActiveProducerSchema> {
  return {
    producerId: BigInt(entry.producerId),
    producerEpoch: entry.producerEpoch,
    lastSequence: entry.batches.at(-1)?.lastSequence ?? -1,
    lastTimestampMs: BigInt(entry.lastTimestampMs),
    coordinatorEpoch: entry.coordinatorEpoch,
    transactionFirstOffset: BigInt(entry.transactionFirstOffset),
  };
}

/** The leader of the partition in that epoch; waits for it where the metadata is a little behind. */
export async function leaderOf(
  store: PartitionStore,
  key: PartitionKey,
  leaderEpoch: number,
): Promise<PartitionLeader> {
  return (
    store.find(key.topicId, key.partition, leaderEpoch) ??
    (await store.waitFor(key.topicId, key.partition, leaderEpoch))
  );
}

export function required(partition: PartitionKey | undefined): PartitionKey {
  if (partition === undefined) throw invalidRequest("partition", "is missing");
  return partition;
}
