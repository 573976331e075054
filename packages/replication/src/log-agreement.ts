import { type EpochEnd, epochBefore, NO_EPOCH, type ReplicaLog } from "./replica-log.ts";

/**
 * Whether the leader's log and a follower's are the same below `endOffset` (R3): for one epoch there is
 * one leader, so two logs whose record before an offset is of the same epoch have the same records up to
 * there. Below a log start nothing differs, since only records below the high watermark are deleted (R14).
 */
export function logsAgree(leaderLog: ReplicaLog, endOffset: number, lastEpoch: number): boolean {
  if (endOffset > leaderLog.logEndOffset) return false;
  if (endOffset <= leaderLog.logStartOffset || lastEpoch === NO_EPOCH) return true;
  return epochBefore(leaderLog, endOffset) === lastEpoch;
}

/**
 * What the leader tells a follower whose log does not agree with its own: where the
 * follower's last epoch ends.
 */
export function divergingEpoch(leaderLog: ReplicaLog, lastEpoch: number): EpochEnd {
  const end = lastEpoch === NO_EPOCH ? undefined : leaderLog.endOffsetForEpoch(lastEpoch);
  if (end !== undefined) return end;
  // The follower's last record is older than all that the leader has: they part where the
  // leader's log begins.
  return { epoch: NO_EPOCH, endOffset: leaderLog.logStartOffset };
}

/**
 * Where a follower truncates to when the leader has said that its log has parted (R6;
 * Kafka's KIP-279). Both logs have an epoch at or below the leader's answer: they agree
 * at most up to where the shorter of the two ends it. Then the follower asks again.
 */
export function truncationOffset(followerLog: ReplicaLog, diverging: EpochEnd): number {
  const { logStartOffset } = followerLog;
  if (diverging.epoch === NO_EPOCH) return Math.max(diverging.endOffset, logStartOffset);
  // Without such an epoch everything here is of other epochs than the leader's records.
  const own = followerLog.endOffsetForEpoch(diverging.epoch)?.endOffset ?? logStartOffset;
  return Math.max(Math.min(own, diverging.endOffset), logStartOffset);
}
