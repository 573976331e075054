import { OttlaError } from "@ottla/errors";
import { consumerProtocolAssignment } from "@ottla/kafka-protocol";
import type { DescribedMember } from "@ottla/proto/ottla/internal/v1/groups";
import type { PartitionOffset } from "@ottla/proto/ottla/v1/group";
import type { GroupRouter, PartitionRouter } from "@ottla/routing";
import { type CallContext, traceMetadata } from "@ottla/rpc";
import { checkCount, checkOffset, checkPartition, LIMITS } from "../checks.ts";
import { currentOffsets } from "../current-offsets.ts";
import type { Topics } from "../topics.ts";

export interface GroupAdminOptions {
  readonly topics: Topics;
  readonly router: PartitionRouter;
  readonly groups: GroupRouter;
}

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** A group with its members, and its offsets beside where the partitions end. */
export async function describeGroup(options: GroupAdminOptions, groupId: string, signal: AbortSignal) {
  const { groups } = options;
  const described = await groups.call(
    groupId,
    (owner) => owner.describeGroup({ groupId }, { signal }),
    signal,
  );
  const fetched = await groups.call(
    groupId,
    (owner) => owner.fetchOffsets({ groupId, memberEpoch: -1, all: true }, { signal }),
    signal,
  );
  const members = described.members.map((member) => ({ member, partitions: partitionsOf(member) }));
  const owners = new Map<string, string>();
  const places = new Map<string, Place & { readonly offset: bigint }>();
  for (const { topic, partition, offset } of await currentOffsets(options.topics, fetched.offsets)) {
    if (offset < 0n) continue;
    places.set(keyOf({ topic, partition }), { topic, partition, offset });
  }
  for (const { member, partitions } of members) {
    for (const place of partitions) {
      owners.set(keyOf(place), member.memberId);
      if (!places.has(keyOf(place))) places.set(keyOf(place), { ...place, offset: -1n });
    }
  }
  const sorted = [...places.values()].toSorted(byPlace);
  const ends = await endsOf(options, sorted, signal);
  return {
    group: groupId,
    state: described.state,
    type: described.type,
    assignor: described.protocol,
    members: members.map(({ member, partitions }) => ({
      memberId: member.memberId,
      instanceId: member.instanceId ?? "",
      clientId: member.clientId,
      clientHost: member.clientHost,
      partitions: partitions.toSorted(byPlace),
    })),
    offsets: sorted.map(({ topic, partition, offset }, index) => {
      const { highWatermark = -1n, logStartOffset = -1n } = ends[index] ?? {};
      const lag = offset < 0n || highWatermark < 0n ? -1n : highWatermark - offset;
      return {
        topic,
        partition,
        committedOffset: offset,
        highWatermark,
        logStartOffset,
        lag: lag < 0n && offset >= 0n && highWatermark >= 0n ? 0n : lag,
        memberId: owners.get(keyOf({ topic, partition })) ?? "",
      };
    }),
  };
}

/** Stores offsets of a group that has no members now. */
export async function commitOffsets(
  { topics, groups }: GroupAdminOptions,
  groupId: string,
  offsets: readonly PartitionOffset[],
  { signal, span }: CallContext,
) {
  checkCount("offsets", offsets.length, LIMITS.changedPartitions);
  const checked = await Promise.all(
    offsets.map(async ({ topic: name, partition, nextOffset }, index) => {
      const topic = await topics.get(name, `offsets[${index}].topic`, partition);
      checkPartition(`offsets[${index}].partition`, partition, topic.partitionCount, name);
      const offset = BigInt(checkOffset(`offsets[${index}].next_offset`, nextOffset));
      return { topic: name, topicId: topic.topicId, partition, offset, leaderEpoch: -1, metadata: "" };
    }),
  );
  const request = { groupId, memberId: "", generationOrEpoch: -1, retentionMs: -1n, offsets: checked };
  const options = { signal, ...traceMetadata(span) };
  const { errors } = await groups.commitOffsets(request, options);
  return { outcomes: errors.map((error) => (error.reason === "" ? {} : { error })) };
}

/** What a member has. A classic one has it from the group's leader, in the form that consumers use. */
function partitionsOf({ assigned, assignment }: DescribedMember): Place[] {
  if (assignment.length === 0) {
    return assigned.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));
  }
  try {
    const { assignedPartitions } = consumerProtocolAssignment.decode(assignment);
    return assignedPartitions.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
  } catch {
    // A protocol of its own, such as that of Kafka Connect.
    return [];
  }
}

async function endsOf({ topics, router }: GroupAdminOptions, places: readonly Place[], signal: AbortSignal) {
  const refs = places.map(({ topic, partition }) => ({
    topicId: topics.find(topic)?.topicId ?? "",
    partition,
  }));
  const known = refs.filter(({ topicId }) => topicId !== "");
  const found = known.length === 0 ? [] : await router.describePartitions(known, signal);
  let next = 0;
  return refs.map(({ topicId }) => {
    const description = topicId === "" ? undefined : found[next++];
    return description === undefined || description instanceof OttlaError ? undefined : description.offsets;
  });
}

function keyOf({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}

function byPlace(left: Place, right: Place): number {
  if (left.topic !== right.topic) return left.topic < right.topic ? -1 : 1;
  return left.partition - right.partition;
}
