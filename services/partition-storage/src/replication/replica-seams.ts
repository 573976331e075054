import type { OttlaError } from "@ottla/errors";
import type { ReadResult } from "@ottla/log";
import type { AnswerHead, FollowerUpdate, PositionAnswer, RecordsAnswer } from "@ottla/replication";

/** A replica that follows, as the stream from its leader's node sees it. */
export interface FollowedReplica {
  readonly topicId: string;
  readonly partition: number;
  /** Not in the ISR as far as this node knows: its bytes count against the catch-up throttle. */
  readonly isThrottled: boolean;
  /**
   * A stream stands (again): `onConnected` of the follower's state. Also called when nothing
   * was sent in the turn in which the replica joined a stream that stood already.
   */
  onConnected(): void;
  onPositionAnswer(answer: PositionAnswer): void;
  /**
   * Whole batches, cut into chunks anywhere; no chunks when only offsets have changed. The chunks are
   * views of what came from the network. `release` is to be called once when they need no memory here
   * any more: they are in the log's file, or were dropped. Until then they count against what the
   * leader's node may send, so that a slow disk slows the leader (`UnwrittenRecords` keeps them).
   */
  onRecords(answer: RecordsAnswer, chunks: readonly Uint8Array[], release: () => void): void;
}

/** A replica that leads, as the streams of its followers see it. */
export interface LedReplica {
  readonly topicId: string;
  readonly partition: number;
  /** Its effects call `answerPosition` and `refuseUpdate`. */
  onFollowerUpdate(update: FollowerUpdate): void;
  /**
   * Written records from the offset on, synced or not. The offset may be that of the first batch, below
   * the log start: then it reads from the log start. No batches when there are none yet: `changed` tells
   * of more.
   */
  readForFollower(offset: number, maxBytes: number): Promise<ReadResult>;
  /**
   * Whether acknowledgements wait for the follower on that node (R4). What it is sent then is not catching
   * up, whatever it knows of that itself.
   */
  isAwaited(nodeId: number): boolean;
  /** Of the present term. */
  head(): Omit<AnswerHead, "positionVersion">;
  /** The log could not be read there: CORRUPT_MESSAGE and the like (R12). */
  onReadFailed(offset: number, error: OttlaError): void;
}

/** What the owner of replicas that lead tells the streams of their followers. */
export interface FollowerStreams {
  /** Effect of the leader's state. When accepted, records follow from `fromOffset` on. */
  answerPosition(
    replica: LedReplica,
    nodeId: number,
    nodeEpoch: number,
    fromOffset: number,
    answer: PositionAnswer,
  ): void;
  /** Effect of the leader's state. What was sent to the follower under another epoch ends. */
  refuseUpdate(replica: LedReplica, nodeId: number, nodeEpoch: number, answer: PositionAnswer): void;
  /** More was written, or the high watermark or the log start moved. Cheap: call it at every such event. */
  changed(replica: LedReplica): void;
  /** Its term is over: nothing more is sent for it, until it leads again and a follower asks. */
  ended(replica: LedReplica): void;
}

/** What the owner of replicas that follow asks of the streams from their leaders. */
export interface LeaderStreams {
  /**
   * From now on the replica is served by the stream from this registration of its leader's node, and by
   * no other. A replica that follows already may change its leader so.
   */
  follow(replica: FollowedReplica, leaderNodeId: number, leaderNodeEpoch: number): void;
  /** Nothing of the replica is called any more, but what `release` was given for still is to be released. */
  unfollow(replica: FollowedReplica): void;
  /** Whether the replica is throttled may have changed: its leader's node is to know at once. */
  termChanged(replica: FollowedReplica): void;
  /** Effect of the follower's state. Dropped while there is no stream: `onConnected` makes up for it. */
  sendUpdate(replica: FollowedReplica, update: FollowerUpdate): void;
}
