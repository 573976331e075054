import { consumerProtocolAssignment, consumerProtocolSubscription } from "@ottla/kafka-protocol";
import { fromLists, type TopicPartitions, toLists } from "../consumer/topic-partitions.ts";
import type { TopicCatalog } from "../topic-catalog.ts";

/** What a member of the classic protocol says about itself, in the terms of the consumer protocol. */
export interface ClassicSubscription {
  readonly topics: readonly string[];
  readonly rackId: string | null;
  /** What it has kept; nothing where it has given all up, as "eager" assignors want it. */
  readonly owned: TopicPartitions;
}

interface NamedPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

/** Undefined for bytes that are none. */
export function readSubscription(
  metadata: Uint8Array,
  catalog: TopicCatalog,
): ClassicSubscription | undefined {
  try {
    const version = knownVersion(metadata, consumerProtocolSubscription.versions.to);
    const { topics, rackId, ownedPartitions } = consumerProtocolSubscription.decodeBody(metadata, version);
    return {
      topics: [...new Set(topics)].toSorted(),
      rackId: rackId === "" ? null : rackId,
      owned: byId(ownedPartitions, catalog),
    };
  } catch {
    return undefined;
  }
}

/** Nothing where there is none, or none that can be read. */
export function readAssignment(assignment: Uint8Array, catalog: TopicCatalog): TopicPartitions {
  if (assignment.length === 0) return new Map();
  try {
    const version = knownVersion(assignment, consumerProtocolAssignment.versions.to);
    return byId(consumerProtocolAssignment.decodeBody(assignment, version).assignedPartitions, catalog);
  } catch {
    return new Map();
  }
}

/** In the version that the member's own metadata has. */
export function writeAssignment(
  partitions: TopicPartitions,
  metadata: Uint8Array,
  catalog: TopicCatalog,
): Uint8Array {
  const assignedPartitions = toLists(partitions).flatMap(({ topicId, partitions: ofTopic }) => {
    const topic = catalog.nameOf(topicId);
    return topic === undefined ? [] : [{ topic, partitions: ofTopic }];
  });
  const version = knownVersion(metadata, consumerProtocolAssignment.versions.to);
  return consumerProtocolAssignment.encode(version, { assignedPartitions });
}

/** Versions above those that we know begin in the same way. */
function knownVersion(bytes: Uint8Array, newest: number): number {
  return Math.min(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0), newest);
}

function byId(named: readonly NamedPartitions[], catalog: TopicCatalog): TopicPartitions {
  return fromLists(
    named.flatMap(({ topic, partitions }) => {
      const found = catalog.find(topic);
      if (found === undefined) return [];
      const { topicId, partitionCount } = found;
      return [{ topicId, partitions: partitions.filter((partition) => partition < partitionCount) }];
    }),
  );
}
