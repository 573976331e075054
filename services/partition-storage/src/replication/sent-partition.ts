import type { PositionAnswer } from "@ottla/replication";
import type { LedReplica } from "./replica-seams.ts";
import { type AnswerInit, outcomeFields } from "./replicate-fields.ts";

/** What is being sent from one accepted position on. Another position is another object. */
export interface Sending {
  readonly replica: LedReplica;
  readonly leaderEpoch: number;
  readonly positionVersion: number;
  nextOffset: number;
}

/** The stream that a partition is sent on, as the partition's events need it. */
export interface PartitionSender {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  answer(partition: SentPartition, fields: AnswerInit): void;
  /** There may be more to send, or offsets to tell of. */
  changed(partition: SentPartition): void;
}

/** One partition of one follower's stream, on the leader's side: what is sent and what was told. */
export class SentPartition {
  readonly sender: PartitionSender;
  readonly index: number;
  readonly topicId: string;
  readonly partition: number;
  /** The replica that answered last. */
  replica: LedReplica | undefined;
  /** Which credit its records are sent on. */
  isCatchingUp = false;
  sending: Sending | undefined;
  /** In line for a read, or being read. */
  isQueued = false;
  /** The log grew while it was being read. */
  hasMore = false;
  #toldHighWatermark = -1;
  #toldLogStartOffset = -1;

  constructor(sender: PartitionSender, index: number, topicId: string, partition: number) {
    this.sender = sender;
    this.index = index;
    this.topicId = topicId;
    this.partition = partition;
  }

  answerPosition(replica: LedReplica, fromOffset: number, answer: PositionAnswer): void {
    const { leaderEpoch, positionVersion, outcome } = answer;
    const isAccepted = outcome.kind === "accepted";
    this.sending = isAccepted ? { replica, leaderEpoch, positionVersion, nextOffset: fromOffset } : undefined;
    this.sender.answer(this, {
      ...this.#head(answer),
      outcome: outcomeFields(outcome),
      logEndOffset: BigInt(answer.logEndOffset),
      highWatermark: BigInt(answer.highWatermark),
      logStartOffset: BigInt(answer.logStartOffset),
    });
    this.#toldHighWatermark = answer.highWatermark;
    this.#toldLogStartOffset = answer.logStartOffset;
    if (isAccepted) this.sender.changed(this);
  }

  /** The follower's last word did not count: what was sent to it ends, until it asks anew. */
  refuse(answer: PositionAnswer): void {
    this.sending = undefined;
    this.sender.answer(this, { ...this.#head(answer), outcome: outcomeFields(answer.outcome) });
  }

  /** The head of an answer that goes on with what is sent; undefined when its term is over. */
  nextHead(sending: Sending): AnswerInit | undefined {
    const head = sending.replica.head();
    if (head.leaderEpoch !== sending.leaderEpoch) return undefined;
    const fields: AnswerInit = this.#head(sending);
    if (head.highWatermark !== this.#toldHighWatermark) {
      fields.highWatermark = BigInt(head.highWatermark);
      this.#toldHighWatermark = head.highWatermark;
    }
    if (head.logStartOffset !== this.#toldLogStartOffset) {
      fields.logStartOffset = BigInt(head.logStartOffset);
      this.#toldLogStartOffset = head.logStartOffset;
    }
    return fields;
  }

  #head(of: { readonly leaderEpoch: number; readonly positionVersion: number }): AnswerInit {
    const { leaderEpoch, positionVersion } = of;
    return { index: this.index, leaderEpoch, positionVersion: BigInt(positionVersion) };
  }
}
