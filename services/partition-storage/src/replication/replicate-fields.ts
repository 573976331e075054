import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest } from "@ottla/errors";
import {
  type FollowerUpdateSchema,
  type LeaderAnswer,
  type LeaderAnswerSchema,
  type FollowerUpdate as UpdateMessage,
  ReplicationRefusal as WireRefusal,
} from "@ottla/proto/ottla/internal/v1/replication";
import {
  type FollowerUpdate,
  NO_EPOCH,
  type PositionOutcome,
  type ReplicationRefusal,
} from "@ottla/replication";

type UpdateInit = MessageInitShape<typeof FollowerUpdateSchema>;
/** The fields of an answer, not yet a message. */
export type AnswerInit = Extract<
  MessageInitShape<typeof LeaderAnswerSchema>,
  { readonly $typeName?: undefined }
>;
type OutcomeInit = NonNullable<AnswerInit["outcome"]>;

const REFUSALS: Readonly<Record<ReplicationRefusal, WireRefusal>> = {
  "fenced-leader-epoch": WireRefusal.FENCED_LEADER_EPOCH,
  "unknown-leader-epoch": WireRefusal.UNKNOWN_LEADER_EPOCH,
  "not-leader": WireRefusal.NOT_LEADER,
  "stale-node-epoch": WireRefusal.STALE_NODE_EPOCH,
  "not-a-replica": WireRefusal.NOT_A_REPLICA,
  "storage-error": WireRefusal.STORAGE_ERROR,
};

const REASONS: ReadonlyMap<WireRefusal, ReplicationRefusal> = new Map(
  Object.entries(REFUSALS).map(([reason, wire]) => [wire, reason as ReplicationRefusal]),
);

/** An offset, epoch of a node or count of bytes as it came: not negative, and exact as a number. */
export function wholeNumber(field: string, value: bigint): number {
  const number = Number(value);
  if (number >= 0 && Number.isSafeInteger(number)) return number;
  throw invalidRequest(field, `${value} is out of range`);
}

/** A leader epoch as it came; -1 stands for none where that is allowed. */
export function epochOf(field: string, value: number, least = 0): number {
  if (value >= least) return value;
  throw invalidRequest(field, `${value} is no epoch`);
}

export function updateFields(index: number, update: FollowerUpdate, isCatchingUp: boolean): UpdateInit {
  const { acknowledgement, position } = update;
  return {
    index,
    leaderEpoch: update.leaderEpoch,
    positionVersion: BigInt(update.positionVersion),
    acknowledgement: {
      syncedEndOffset: BigInt(acknowledgement.syncedEndOffset),
      lastEpoch: acknowledgement.lastEpoch,
      logStartOffset: BigInt(acknowledgement.logStartOffset),
    },
    catchingUp: isCatchingUp,
    ...(position && { position: { offset: BigInt(position.offset), lastEpoch: position.lastEpoch } }),
  };
}

/** Throws INVALID_REQUEST for what no follower says. */
export function parseUpdate(
  message: UpdateMessage,
  from: { readonly nodeId: number; readonly nodeEpoch: number },
): FollowerUpdate {
  const { acknowledgement, position } = message;
  if (acknowledgement === undefined) throw invalidRequest("updates.acknowledgement", "is missing");
  return {
    nodeId: from.nodeId,
    nodeEpoch: from.nodeEpoch,
    leaderEpoch: epochOf("updates.leader_epoch", message.leaderEpoch),
    positionVersion: wholeNumber("updates.position_version", message.positionVersion),
    acknowledgement: {
      syncedEndOffset: wholeNumber("updates.synced_end_offset", acknowledgement.syncedEndOffset),
      lastEpoch: epochOf("updates.last_epoch", acknowledgement.lastEpoch, NO_EPOCH),
      logStartOffset: wholeNumber("updates.log_start_offset", acknowledgement.logStartOffset),
    },
    ...(position && {
      position: {
        offset: wholeNumber("updates.position", position.offset),
        lastEpoch: epochOf("updates.position.last_epoch", position.lastEpoch, NO_EPOCH),
      },
    }),
  };
}

export function outcomeFields(outcome: PositionOutcome): OutcomeInit {
  switch (outcome.kind) {
    case "accepted":
      return { case: "accepted", value: {} };
    case "diverging": {
      const { epoch, endOffset } = outcome.end;
      return { case: "diverging", value: { epoch, endOffset: BigInt(endOffset) } };
    }
    case "outOfRange":
      return { case: "outOfRange", value: { restartOffset: BigInt(outcome.restartOffset) } };
    case "refused":
      return { case: "refused", value: { reason: REFUSALS[outcome.reason] } };
    default:
      return outcome satisfies never;
  }
}

/** The verdict on a position that an answer carries; undefined for records and mere offsets. */
export function parseOutcome({ outcome }: LeaderAnswer): PositionOutcome | undefined {
  switch (outcome.case) {
    case "accepted":
      return { kind: "accepted" };
    case "diverging": {
      const epoch = epochOf("answers.diverging.epoch", outcome.value.epoch, NO_EPOCH);
      return {
        kind: "diverging",
        end: { epoch, endOffset: wholeNumber("answers.diverging", outcome.value.endOffset) },
      };
    }
    case "outOfRange": {
      const restartOffset = wholeNumber("answers.out_of_range", outcome.value.restartOffset);
      return { kind: "outOfRange", restartOffset };
    }
    case "refused":
      // A reason of a newer version is one to ask again after.
      return { kind: "refused", reason: REASONS.get(outcome.value.reason) ?? "not-leader" };
    case "records":
    case undefined:
      return undefined;
    default:
      return outcome satisfies never;
  }
}
