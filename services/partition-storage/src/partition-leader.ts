import { OttlaError } from "@ottla/errors";
import type { ProducerEntry, ReadResult, SegmentedLog, TimestampedOffset } from "@ottla/log";
import { Acks } from "@ottla/proto/ottla/v1/record";
import type { Deadlines } from "@ottla/runtime";
import { nextHighWatermark } from "./high-watermark.ts";
import { asRefusal, refusal } from "./refusals.ts";
import { VisibleBytes } from "./visible-bytes.ts";
import { type AppendDone, WaitingAppends } from "./waiting-appends.ts";
import { type FetchPurgatoryLimit, type FetchWake, WaitingFetches } from "./waiting-fetches.ts";

/**
 * What the cluster's metadata says about one term of leadership. The epoch is fixed, the
 * rest may change in it.
 */
export interface LeaderTerm {
  readonly leaderEpoch: number;
  readonly isr: readonly number[];
  readonly minInsyncReplicas: number;
}

export interface PartitionLeaderOptions {
  readonly name: string;
  readonly nodeId: number;
  readonly log: SegmentedLog;
  readonly term: LeaderTerm;
  readonly deadlines: Deadlines;
  readonly purgatoryLimit: FetchPurgatoryLimit;
}

export interface AppendCommand {
  readonly leaderEpoch: number;
  readonly batch: Uint8Array;
  readonly validated: boolean;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly expectedEndOffset: number | undefined;
}

/** What a reader sees of a partition's offsets. */
export interface VisibleOffsets {
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly leaderEpoch: number;
}

/**
 * One term of leadership of one partition: appends, the high watermark, and those who wait
 * for it. When the term ends, all who wait fail (R15); the next term is another object.
 */
export class PartitionLeader {
  readonly #options: PartitionLeaderOptions;
  readonly #log: SegmentedLog;
  #term: LeaderTerm;
  #highWatermark = 0;
  readonly #waitingForReplicas: WaitingAppends;
  readonly #waitingForLeader: WaitingAppends;
  readonly #waitingFetches: WaitingFetches;
  readonly #visibleBytes = new VisibleBytes();
  #resignedBecause: OttlaError | undefined;

  constructor(options: PartitionLeaderOptions) {
    const { deadlines, purgatoryLimit: limit } = options;
    this.#options = options;
    this.#log = options.log;
    this.#term = options.term;
    this.#waitingForReplicas = new WaitingAppends(deadlines);
    this.#waitingForLeader = new WaitingAppends(deadlines);
    this.#waitingFetches = new WaitingFetches({ deadlines, limit });
    this.#log.beginLeaderEpoch(options.term.leaderEpoch);
    this.onLogProgress();
  }

  get leaderEpoch(): number {
    return this.#term.leaderEpoch;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  get waitingAppends(): number {
    return this.#waitingForReplicas.size + this.#waitingForLeader.size;
  }

  get sizeBytes(): number {
    return this.#log.sizeBytes;
  }

  get visibleBytes(): number {
    return this.#visibleBytes.total;
  }

  offsets(): VisibleOffsets {
    return {
      highWatermark: this.#highWatermark,
      logStartOffset: this.#log.logStartOffset,
      logEndOffset: this.#log.logEndOffset,
      leaderEpoch: this.#term.leaderEpoch,
    };
  }

  /** The ISR or `min.insync.replicas` changed without a change of leader. */
  updateTerm(term: LeaderTerm): void {
    this.#term = term;
    this.onLogProgress();
  }

  /**
   * Appends and calls `done` exactly once, when the batch is as durable as `acks` asks.
   * Throws, with NOT_APPENDED, what is refused before it reaches the log.
   */
  append(command: AppendCommand, done: AppendDone): void {
    const { acks, batch, leaderEpoch, timeoutMs } = command;
    this.#checkEpoch(leaderEpoch);
    const all = acks === Acks.ALL || acks === Acks.UNSPECIFIED;
    if (all) this.#checkMinInsyncReplicas();
    const endBefore = this.#log.logEndOffset;
    const appended = this.#log.append(batch, {
      leaderEpoch,
      validated: command.validated,
      origin: "client",
      ...(command.expectedEndOffset === undefined ? {} : { expectedEndOffset: command.expectedEndOffset }),
    });
    const endOffset = appended.lastOffset + 1;
    if (endOffset > endBefore) this.#visibleBytes.appended(endOffset, batch.length);
    const acknowledgement = {
      baseOffset: acks === Acks.NONE ? -1 : appended.baseOffset,
      logAppendTimeMs: appended.logAppendTimeMs,
      logStartOffset: this.#log.logStartOffset,
    };
    if (acks === Acks.NONE) done(acknowledgement);
    else if (all) {
      if (endOffset <= this.#highWatermark) done(acknowledgement);
      else this.#waitingForReplicas.add(endOffset, acknowledgement, timeoutMs, done);
    } else if (endOffset <= this.#log.syncedEndOffset) done(acknowledgement);
    else this.#waitingForLeader.add(endOffset, acknowledgement, timeoutMs, done);
  }

  /** The log wrote or synced more: whoever waited for that goes on. */
  onLogProgress(): void {
    if (this.#resignedBecause !== undefined) return;
    const ownSyncedEndOffset = this.#log.syncedEndOffset;
    const before = this.#highWatermark;
    this.#highWatermark = nextHighWatermark(before, {
      nodeId: this.#options.nodeId,
      ownSyncedEndOffset,
      followerSyncedEndOffsets: NO_FOLLOWERS,
      maximalIsr: this.#term.isr,
      committedIsrSize: this.#term.isr.length,
      minInsyncReplicas: this.#term.minInsyncReplicas,
    });
    this.#waitingForLeader.passed(ownSyncedEndOffset);
    if (this.#highWatermark === before) return;
    this.#visibleBytes.passed(this.#highWatermark);
    this.#waitingForReplicas.passed(this.#highWatermark);
    this.#waitingFetches.advanced(this.#visibleBytes.total);
  }

  /** The disk is full: what was queued from this offset on was not stored, and the log ends there again. */
  onAppendsFailed(fromOffset: number, error: OttlaError): void {
    const reason = asRefusal(error);
    this.#visibleBytes.forgetBeyond(fromOffset);
    this.#waitingForReplicas.failBeyond(fromOffset, reason);
    this.#waitingForLeader.failBeyond(fromOffset, reason);
  }

  /** Throws unless the offset may be fetched from this leader; `leaderEpoch` -1 skips the check of epochs. */
  checkFetch(offset: number, leaderEpoch: number): void {
    if (leaderEpoch >= 0) this.#checkEpoch(leaderEpoch);
    else this.#checkLeading();
    const { logStartOffset, logEndOffset } = this.#log;
    // R5: between high watermark and log end a fetch waits; it is never out of range.
    if (offset >= logStartOffset && offset <= logEndOffset) return;
    throw new OttlaError(
      "OFFSET_OUT_OF_RANGE",
      `offset ${offset} is not in ${this.#options.name}, which holds ${logStartOffset} to ${logEndOffset}`,
      { metadata: { log_start_offset: String(logStartOffset), log_end_offset: String(logEndOffset) } },
    );
  }

  /** Reads what is visible from `offset`: whole batches, at least one when there is one. */
  async read(offset: number, maxBytes: number): Promise<ReadResult> {
    return this.#log.read(offset, { maxBytes, endOffset: this.#highWatermark, atLeastOneBatch: true });
  }

  /**
   * Wakes the caller once when the count of visible bytes reaches `neededVisibleBytes`; the result cancels.
   */
  waitForVisibleBytes(
    neededVisibleBytes: number,
    maxWaitMs: number,
    wake: (reason: FetchWake) => void,
  ): () => void {
    this.#checkLeading();
    return this.#waitingFetches.add(neededVisibleBytes, maxWaitMs, wake);
  }

  /** The first visible record at or after the time. */
  async findOffsetForTimestamp(timestampMs: number): Promise<TimestampedOffset | undefined> {
    return this.#log.offsetForTimestamp(timestampMs, this.#highWatermark);
  }

  /** The visible record with the largest timestamp. */
  async findMaxTimestamp(): Promise<TimestampedOffset | undefined> {
    return this.#log.maxTimestampOffset(this.#highWatermark);
  }

  /** Where a leader epoch ends (KIP-320); undefined when this log has not come so far. */
  findEpochEnd(
    epoch: number,
    leaderEpoch: number,
  ): { readonly epoch: number; readonly endOffset: number } | undefined {
    this.#checkEpoch(leaderEpoch);
    if (epoch < 0 || epoch > leaderEpoch) return undefined;
    // An epoch from before the log's first record ends where the log begins.
    return this.#log.endOffsetForEpoch(epoch) ?? { epoch, endOffset: this.#log.logStartOffset };
  }

  /** What the log remembers of idempotent producers. */
  producers(): Iterable<ProducerEntry> {
    this.#checkLeading();
    return this.#log.producers();
  }

  /** R14: moves the log start offset; -1 means the high watermark. */
  async deleteRecords(beforeOffset: number, leaderEpoch: number): Promise<number> {
    this.#checkEpoch(leaderEpoch);
    const target = beforeOffset === -1 ? this.#highWatermark : beforeOffset;
    if (target < 0 || target > this.#highWatermark) {
      throw new OttlaError(
        "OFFSET_OUT_OF_RANGE",
        `before_offset: ${beforeOffset} is not within ${this.#options.name}, whose high watermark is ` +
          String(this.#highWatermark),
        { metadata: { field: "before_offset", limit: String(this.#highWatermark) } },
      );
    }
    await this.#log.deleteRecordsBefore(target);
    return this.#log.logStartOffset;
  }

  /** Ends the term: all who wait fail with `reason`, and so does whatever comes later (R15). */
  resign(reason: OttlaError): void {
    if (this.#resignedBecause !== undefined) return;
    this.#resignedBecause = reason;
    this.#waitingForReplicas.failAll(reason);
    this.#waitingForLeader.failAll(reason);
    this.#waitingFetches.failAll(reason);
  }

  #checkLeading(): void {
    if (this.#resignedBecause === undefined) return;
    throw refusal("NOT_LEADER_OR_FOLLOWER", `this node has resigned as leader of ${this.#options.name}`);
  }

  /** R2: a request that carries another epoch comes from, or is meant for, another term. */
  #checkEpoch(leaderEpoch: number): void {
    this.#checkLeading();
    const own = this.#term.leaderEpoch;
    if (leaderEpoch === own) return;
    const facts = { leader_epoch: String(own) };
    if (leaderEpoch < own) {
      throw refusal("FENCED_LEADER_EPOCH", `${this.#options.name} is in leader epoch ${own}`, facts);
    }
    throw refusal(
      "UNKNOWN_LEADER_EPOCH",
      `${this.#options.name}: this node knows leader epoch ${own} only`,
      facts,
    );
  }

  #checkMinInsyncReplicas(): void {
    const { isr, minInsyncReplicas } = this.#term;
    if (isr.length >= minInsyncReplicas) return;
    throw refusal(
      "NOT_ENOUGH_REPLICAS",
      `${this.#options.name} has ${isr.length} in-sync replicas, min.insync.replicas is ${minInsyncReplicas}`,
      { limit: String(minInsyncReplicas) },
    );
  }
}

/** Followers report here once replication exists; until then the ISR is the leader alone. */
const NO_FOLLOWERS: ReadonlyMap<number, number> = new Map();
