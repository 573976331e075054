import { OttlaError } from "@ottla/errors";
import type { CommittedOffset } from "./committed-offsets.ts";
import type { GroupRecord } from "./group-record.ts";
import type { GroupTable } from "./group-table.ts";

export interface CommitRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
  /** -1 for who is no member. */
  readonly generationOrEpoch: number;
  readonly offsets: readonly OffsetToCommit[];
  readonly retentionMs: number;
  readonly traceparent?: string | undefined;
}

export interface OffsetToCommit {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  readonly leaderEpoch: number;
  readonly metadata: string;
}

/** Stores offsets; for each why it was refused, if it was. Resolves when the others are durable. */
export async function commitOffsets(
  table: GroupTable,
  request: CommitRequest,
): Promise<(OttlaError | undefined)[]> {
  const { clock, limits, journal, mutants } = table.options;
  const { groupId } = request;
  if (table.find(groupId) === undefined && request.generationOrEpoch >= 0) {
    throw new OttlaError("ILLEGAL_GENERATION", `there is no group "${groupId}" (any more)`);
  }
  const group = table.findOrCreate(groupId);
  if (!mutants.has("fenced-member-commits")) group.membership.checkMayCommit(request);
  const nowMs = clock.now();
  const records: GroupRecord[] = [];
  const changes: {
    readonly topic: string;
    readonly partition: number;
    readonly committed: CommittedOffset;
  }[] = [];
  const refusals = request.offsets.map((wanted) => {
    const refusal = refusalOf(wanted, limits.offsetMetadataMaxBytes);
    if (refusal !== undefined) return refusal;
    const committed = committedOffset(wanted, nowMs, request.retentionMs);
    changes.push({ topic: wanted.topic, partition: wanted.partition, committed });
    records.push(offsetRecord(groupId, wanted.topic, wanted.partition, committed));
    return undefined;
  });
  if (records.length === 0) return refusals;
  for (const { topic, partition } of changes) group.offsets.begin(topic, partition);
  const stored = journal.append(records, request.traceparent);
  if (mutants.has("commit-answered-early")) stored.catch(() => undefined);
  else await stored;
  for (const { topic, partition, committed } of changes) group.offsets.end(topic, partition, committed);
  return refusals;
}

function refusalOf({ offset, metadata }: OffsetToCommit, maxBytes: number): OttlaError | undefined {
  if (!Number.isSafeInteger(offset)) {
    return new OttlaError("INVALID_REQUEST", `offset ${offset} is out of bounds`);
  }
  if (Buffer.byteLength(metadata) <= maxBytes) return undefined;
  return new OttlaError(
    "OFFSET_METADATA_TOO_LARGE",
    `metadata of more than ${maxBytes} bytes, which is groups.offset-metadata-max-bytes`,
    { metadata: { field: "metadata", limit: String(maxBytes) } },
  );
}

function committedOffset(wanted: OffsetToCommit, nowMs: number, retentionMs: number): CommittedOffset {
  return {
    offset: wanted.offset,
    leaderEpoch: wanted.leaderEpoch,
    metadata: wanted.metadata,
    committedAtMs: nowMs,
    expiresAtMs: retentionMs < 0 ? -1 : nowMs + retentionMs,
    topicId: wanted.topicId === "" ? undefined : wanted.topicId,
  };
}

function offsetRecord(
  groupId: string,
  topic: string,
  partition: number,
  committed: CommittedOffset,
): GroupRecord {
  return {
    kind: "offset",
    groupId,
    topic,
    partition,
    value: {
      offset: committed.offset,
      leaderEpoch: committed.leaderEpoch,
      metadata: committed.metadata,
      commitTimestamp: committed.committedAtMs,
      expireTimestamp: committed.expiresAtMs,
      topicId: committed.topicId,
    },
  };
}
