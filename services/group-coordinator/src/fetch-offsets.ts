import type { CommittedOffset, OffsetPlace } from "./committed-offsets.ts";
import type { GroupTable } from "./group-table.ts";

export interface FetchOffsetsRequest {
  readonly groupId: string;
  readonly memberId?: string | undefined;
  readonly memberEpoch: number;
  readonly all: boolean;
  readonly partitions: readonly OffsetPlace[];
}

export interface FetchedOffset extends OffsetPlace {
  readonly offset: bigint;
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly topicId: string;
  readonly committedAtMs: bigint;
}

/** Committed offsets that are durable; -1 where there is none, also for a group that nobody knows. */
export function fetchOffsets(table: GroupTable, request: FetchOffsetsRequest): FetchedOffset[] {
  const group = table.find(request.groupId);
  const { memberId = "", memberEpoch: generationOrEpoch } = request;
  group?.membership.checkMayFetch({ memberId, generationOrEpoch });
  const offsets = group?.offsets;
  if (request.all) {
    return [...(offsets?.committed() ?? [])].map(({ committed, ...place }) => fetched(place, committed));
  }
  return request.partitions.map(({ topic, partition }) =>
    fetched({ topic, partition }, offsets?.get(topic, partition)),
  );
}

function fetched(place: OffsetPlace, committed: CommittedOffset | undefined): FetchedOffset {
  return {
    ...place,
    offset: BigInt(committed?.offset ?? -1),
    leaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? "",
    topicId: committed?.topicId ?? "",
    committedAtMs: BigInt(committed?.committedAtMs ?? -1),
  };
}
