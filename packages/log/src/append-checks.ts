import { OttlaError } from "@ottla/errors";
import type { BatchHeader } from "@ottla/records";
import { endOffsetMismatch, fencedEpoch } from "./log-errors.ts";
import type { LogState } from "./log-state.ts";
import { ownerEpochOf } from "./owner-epoch-cache.ts";

export interface AppendOptions {
  /** The leader's epoch; a follower's batches carry their own. */
  readonly leaderEpoch: number;
  /** Length, magic and CRC were checked already, by this process or a node of this cluster. */
  readonly validated: boolean;
  /**
   * `client`: full validation. `coordinator`: a service of the cluster writes to an
   * internal topic; control batches are allowed. `replica`: a follower appends what its
   * leader stored, with the leader's offsets and epochs.
   */
  readonly origin: "client" | "coordinator" | "replica";
  /** Refuses the append unless the log ends here; a retry of a stored batch is recognised first (R13). */
  readonly expectedEndOffset?: number | undefined;
  /**
   * R13: the owner of a single-writer log appends. A lower epoch than the log's is refused with
   * PRODUCER_FENCED, one that has not begun with INVALID_REQUEST.
   */
  readonly ownerEpoch?: number | undefined;
  /**
   * A replica's batches: the leader's log is known to go on where this one ends, so that offsets which are
   * missing were compacted away. Otherwise they are lost (R12), unless the topic is compacted.
   */
  readonly allowsGaps?: boolean | undefined;
  /** The bytes are the control batch that the owner begins with. */
  readonly beginsOwnership?: boolean | undefined;
}

export interface Appended {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly recordCount: number;
  /** -1 for topics with CreateTime. */
  readonly logAppendTimeMs: number;
  /** The batch was stored before, at these offsets; it is acknowledged once they are durable (R11). */
  readonly duplicate: boolean;
}

/**
 * R2: nothing of an older epoch than the log has records of. An epoch that began here as leader without
 * writing a record says nothing of what its next leader has, so a replica passes over it.
 */
export function checkEpochs(
  state: LogState,
  headers: readonly BatchHeader[],
  { origin, leaderEpoch }: AppendOptions,
): void {
  const { epochs, segments } = state;
  if (origin !== "replica") {
    const latest = epochs.latestEpoch ?? -1;
    if (leaderEpoch < latest) throw fencedEpoch(leaderEpoch, latest);
    return;
  }
  let latest = epochs.epochBefore(segments.active.assignedEndOffset) ?? -1;
  for (const { partitionLeaderEpoch } of headers) {
    if (partitionLeaderEpoch < latest) throw fencedEpoch(partitionLeaderEpoch, latest);
    latest = partitionLeaderEpoch;
  }
}

/** An append is a duplicate when all its batches are; anything else is for the sequence check to refuse. */
export function findDuplicate(state: LogState, headers: readonly BatchHeader[]): Appended | undefined {
  let first: Appended | undefined;
  for (const header of headers) {
    if (header.producerId < 0 || header.isControl) return undefined;
    const known = state.producers.findDuplicate(header);
    if (known === undefined) return undefined;
    first = {
      baseOffset: first?.baseOffset ?? known.baseOffset,
      lastOffset: known.lastOffset,
      recordCount: (first?.recordCount ?? 0) + header.recordCount,
      logAppendTimeMs: state.config.messageTimestampType === "LogAppendTime" ? known.timestampMs : -1,
      duplicate: true,
    };
  }
  return first;
}

/** R13: who may write to a log that has one writer. */
export function checkOwner(
  state: LogState,
  bytes: Uint8Array,
  headers: readonly BatchHeader[],
  options: AppendOptions,
): void {
  const { ownerEpoch, beginsOwnership = false, origin } = options;
  if (ownerEpoch === undefined) {
    if (origin !== "client" || state.owners.latest < 0) return;
    throw new OttlaError(
      "INVALID_REQUEST",
      "the log has one writer, its owner: clients may not append to it",
    );
  }
  const refusal = state.owners.refuse(ownerEpoch, beginsOwnership);
  if (refusal !== undefined) throw refusal;
  const fences = headers.map((header) =>
    header.isControl ? ownerEpochOf(batchOf(bytes, header)) : undefined,
  );
  const isFence = fences.length === 1 && fences[0] === ownerEpoch;
  const holdsFence = fences.some((fence) => fence !== undefined);
  if (beginsOwnership ? isFence : !holdsFence) return;
  throw new OttlaError(
    "INVALID_REQUEST",
    beginsOwnership
      ? `owner epoch ${ownerEpoch} has to begin with one control batch of its own`
      : "an owner's control batch is appended by itself, as the beginning of its ownership",
    { metadata: { owner_epoch: String(ownerEpoch) } },
  );
}

export function checkExpectedEnd(expected: number | undefined, endOffset: number): void {
  if (expected !== undefined && expected !== endOffset) throw endOffsetMismatch(expected, endOffset);
}

/** R12: what a leader sends goes on where the log ends. Returns whether there are gaps in it. */
export function checkContinuity(
  headers: readonly BatchHeader[],
  endOffset: number,
  allowsGaps: boolean,
): boolean {
  let expected = endOffset;
  let hasGaps = false;
  for (const header of headers) {
    const isGap = header.baseOffset > expected;
    hasGaps ||= isGap;
    if (header.baseOffset < expected || (isGap && !allowsGaps)) {
      throw new OttlaError(
        "CORRUPT_MESSAGE",
        `a replicated batch has base offset ${header.baseOffset}, but the log ends at ${expected}`,
      );
    }
    expected = header.lastOffset + 1;
  }
  return hasGaps;
}

export function batchOf(bytes: Uint8Array, header: BatchHeader): Uint8Array {
  return bytes.subarray(header.position, header.position + header.sizeBytes);
}
