import { OttlaError } from "@ottla/errors";
import type { ProducerEntry, ReadResult, SegmentedLog, TimestampedOffset } from "@ottla/log";
import { Acks } from "@ottla/proto/ottla/v1/record";
import type { FollowerUpdate, LeaderState, ReplicaLag, RequiredAcks } from "@ottla/replication";
import type { Deadlines } from "@ottla/runtime";
import type { ReadableReplica, VisibleOffsets } from "./readable-replica.ts";
import { asRefusal, refusal, toStorageError } from "./refusals.ts";
import type { LedReplica } from "./replication/replica-seams.ts";
import { VisibleBytes } from "./visible-bytes.ts";
import type { AppendDone, WaitingAppends } from "./waiting-appends.ts";
import { WaitingDeletions } from "./waiting-deletions.ts";
import { type FetchPurgatoryLimit, type FetchWake, WaitingFetches } from "./waiting-fetches.ts";

/** What a leader passes on to the state machine of its replica. */
export interface LeaderEvents {
  followerUpdated(update: FollowerUpdate): void;
  logStartMoved(): void;
  /** A read met a damaged batch (R12). */
  readFailed(offset: number, error: unknown): void;
}

/** Those who wait for their batches to be durable, over all terms of one open log. */
export interface AppendWaiters {
  readonly forReplicas: WaitingAppends;
  readonly forLeader: WaitingAppends;
}

export interface PartitionLeaderOptions {
  readonly name: string;
  readonly topicId: string;
  readonly partition: number;
  readonly log: SegmentedLog;
  readonly state: LeaderState;
  readonly events: LeaderEvents;
  readonly waiters: AppendWaiters;
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
  /** Set by the owner of a single-writer log (R13), a service of the cluster. */
  readonly ownerEpoch?: number | undefined;
  /** The batch is the control batch that an owner begins with. */
  readonly beginsOwnership?: boolean;
  /** Called once when the batch is on this node's disk, or will not be: for traces. */
  readonly onSynced?: (() => void) | undefined;
}

/**
 * One term of leadership of one partition, for those who ask something of it: appends, reads, followers.
 * What counts as replicated is for `LeaderState` to say. When the term ends, all who wait fail (R15); the
 * next term is another object.
 */
export class PartitionLeader implements ReadableReplica, LedReplica {
  readonly topicId: string;
  readonly partition: number;
  readonly #options: PartitionLeaderOptions;
  readonly #log: SegmentedLog;
  readonly #state: LeaderState;
  readonly #waiters: AppendWaiters;
  readonly #waitingFetches: WaitingFetches;
  readonly #waitingDeletions: WaitingDeletions;
  readonly #visibleBytes: VisibleBytes;
  #endedBecause: OttlaError | undefined;

  constructor(options: PartitionLeaderOptions) {
    const { deadlines, purgatoryLimit: limit, state } = options;
    this.topicId = options.topicId;
    this.partition = options.partition;
    this.#options = options;
    this.#log = options.log;
    this.#state = state;
    this.#waiters = options.waiters;
    this.#waitingFetches = new WaitingFetches({ deadlines, limit });
    this.#waitingDeletions = new WaitingDeletions(deadlines);
    this.#visibleBytes = new VisibleBytes(state.highWatermark, state.epochStartOffset);
  }

  get leaderEpoch(): number {
    return this.#state.leaderEpoch;
  }

  get state(): LeaderState {
    return this.#state;
  }

  get highWatermark(): number {
    return this.#state.highWatermark;
  }

  get waitingAppends(): number {
    return this.#waiters.forReplicas.size + this.#waiters.forLeader.size;
  }

  get sizeBytes(): number {
    return this.#log.sizeBytes;
  }

  get visibleBytes(): number {
    return this.#visibleBytes.total;
  }

  offsets(): VisibleOffsets {
    return {
      highWatermark: this.#state.highWatermark,
      logStartOffset: this.#log.logStartOffset,
      logEndOffset: this.#log.logEndOffset,
      leaderEpoch: this.#state.leaderEpoch,
      endUnknown: this.#state.latestOffset() === undefined,
    };
  }

  isAwaited(nodeId: number): boolean {
    return this.#state.maximalIsr.has(nodeId);
  }

  head(): VisibleOffsets {
    return this.offsets();
  }

  replicaLags(nowMs: number): readonly ReplicaLag[] {
    return this.#state.replicaLags(nowMs);
  }

  /** What the slowest follower in the ISR lacks. */
  maxLagRecords(nowMs: number): number {
    const { logEndOffset } = this.#log;
    const { isr } = this.#state.term;
    let max = 0;
    for (const { nodeId, syncedEndOffset } of this.#state.replicaLags(nowMs)) {
      if (!isr.includes(nodeId) || syncedEndOffset === undefined) continue;
      max = Math.max(max, logEndOffset - syncedEndOffset);
    }
    return max;
  }

  /**
   * Appends and calls `done` exactly once, when the batch is as durable as `acks` asks.
   * Throws, with NOT_APPENDED, what is refused before it reaches the log.
   */
  append(command: AppendCommand, done: AppendDone): void {
    const { batch, leaderEpoch, timeoutMs } = command;
    this.#checkEpoch(leaderEpoch);
    const acks = requiredAcks(command.acks);
    const refused = this.#state.refuseAppend(acks);
    if (refused !== undefined) throw this.#refusalOf(refused);
    const endBefore = this.#log.logEndOffset;
    const appended = this.#log.append(batch, {
      leaderEpoch,
      validated: command.validated,
      origin: command.ownerEpoch === undefined ? "client" : "coordinator",
      ...(command.expectedEndOffset === undefined ? {} : { expectedEndOffset: command.expectedEndOffset }),
      ...(command.ownerEpoch === undefined
        ? {}
        : this.#ownerOf(command.ownerEpoch, command.beginsOwnership ?? false)),
    });
    const endOffset = appended.lastOffset + 1;
    if (endOffset > endBefore) this.#visibleBytes.appended(endOffset, batch.length);
    const acknowledgement = {
      baseOffset: acks === "none" ? -1 : appended.baseOffset,
      logAppendTimeMs: appended.logAppendTimeMs,
      logStartOffset: this.#log.logStartOffset,
    };
    const { onSynced } = command;
    if (onSynced !== undefined && acks === "all" && endOffset > this.#log.syncedEndOffset) {
      this.#waiters.forLeader.add(endOffset, acknowledgement, timeoutMs, () => onSynced());
    }
    if (acks === "none") done(acknowledgement);
    else if (acks === "all") {
      if (endOffset <= this.#state.highWatermark) done(acknowledgement);
      else this.#waiters.forReplicas.add(endOffset, acknowledgement, timeoutMs, done);
    } else if (endOffset <= this.#log.syncedEndOffset) done(acknowledgement);
    else this.#waiters.forLeader.add(endOffset, acknowledgement, timeoutMs, done);
  }

  /** The log wrote or synced more. */
  onLogProgress(): void {
    this.#waiters.forLeader.passed(this.#log.syncedEndOffset);
  }

  /** Whoever waited for the high watermark goes on. */
  onHighWatermark(): void {
    const { highWatermark } = this.#state;
    this.#visibleBytes.passed(highWatermark);
    this.#waiters.forReplicas.passed(highWatermark);
    this.#waitingFetches.advanced(this.#visibleBytes.total);
  }

  /** R14: so far all in-sync replicas have deleted their records. */
  onLowWatermark(logStartOffset: number): void {
    this.#waitingDeletions.passed(logStartOffset);
  }

  /**
   * The ISR changed. When it has become too small, what waits cannot be acknowledged any more: its producers
   * learn so at once, as Kafka's do.
   */
  onIsrChange(): void {
    const { isr, minInsyncReplicas } = this.#state.term;
    if (isr.length >= minInsyncReplicas || this.#waiters.forReplicas.size === 0) return;
    this.#waiters.forReplicas.failAll(
      new OttlaError(
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        `${this.#options.name}: appended, but only ${isr.length} replicas are in sync now, ` +
          `min.insync.replicas is ${minInsyncReplicas}`,
        { metadata: { limit: String(minInsyncReplicas) } },
      ),
    );
  }

  /** The disk is full: what was queued from this offset on was not stored, and the log ends there again. */
  onAppendsFailed(fromOffset: number, error: OttlaError): void {
    const reason = asRefusal(error);
    this.#visibleBytes.forgetBeyond(fromOffset);
    this.#waiters.forReplicas.failBeyond(fromOffset, reason);
    this.#waiters.forLeader.failBeyond(fromOffset, reason);
  }

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

  async read(offset: number, maxBytes: number): Promise<ReadResult> {
    try {
      const endOffset = this.#state.highWatermark;
      return await this.#log.read(offset, { maxBytes, endOffset, atLeastOneBatch: true });
    } catch (thrown) {
      this.#options.events.readFailed(offset, thrown);
      throw thrown;
    }
  }

  readForFollower(offset: number, maxBytes: number): Promise<ReadResult> {
    const endOffset = this.#log.writtenEndOffset;
    return this.#log.read(offset, { maxBytes, endOffset, atLeastOneBatch: true, forReplica: true });
  }

  onFollowerUpdate(update: FollowerUpdate): void {
    if (this.#endedBecause === undefined) this.#options.events.followerUpdated(update);
  }

  onReadFailed(offset: number, error: OttlaError): void {
    this.#options.events.readFailed(offset, error);
  }

  waitForVisibleBytes(
    neededVisibleBytes: number,
    maxWaitMs: number,
    wake: (reason: FetchWake) => void,
  ): () => void {
    this.#checkLeading();
    return this.#waitingFetches.add(neededVisibleBytes, maxWaitMs, wake);
  }

  /** What "latest" is. OFFSET_NOT_AVAILABLE until this leader knows what its predecessor committed (R5). */
  latestOffset(): number {
    const latest = this.#state.latestOffset();
    if (latest !== undefined) return latest;
    throw new OttlaError(
      "OFFSET_NOT_AVAILABLE",
      `${this.#options.name}: its leader is new and does not know its high watermark yet`,
    );
  }

  /** The first visible record at or after the time. */
  async findOffsetForTimestamp(timestampMs: number): Promise<TimestampedOffset | undefined> {
    const found = await this.#log.offsetForTimestamp(timestampMs, this.#state.highWatermark);
    // Records that were visible at the former leader may not be so here yet (R5).
    if (found === undefined) this.latestOffset();
    return found;
  }

  /** The visible record with the largest timestamp. */
  async findMaxTimestamp(): Promise<TimestampedOffset | undefined> {
    this.latestOffset();
    return this.#log.maxTimestampOffset(this.#state.highWatermark);
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

  /**
   * R14: moves the log start offset (-1 means to the high watermark), and resolves when all in-sync replicas
   * have done the same. REQUEST_TIMED_OUT when they have not by then: they will.
   */
  async deleteRecords(beforeOffset: number, leaderEpoch: number, timeoutMs: number): Promise<number> {
    this.#checkEpoch(leaderEpoch);
    const { highWatermark } = this.#state;
    const target = beforeOffset === -1 ? highWatermark : beforeOffset;
    if (target < 0 || target > highWatermark) {
      throw new OttlaError(
        "OFFSET_OUT_OF_RANGE",
        `before_offset: ${beforeOffset} is not within ${this.#options.name}, whose high watermark is ` +
          String(highWatermark),
        { metadata: { field: "before_offset", limit: String(highWatermark) } },
      );
    }
    await this.#log.deleteRecordsBefore(target).catch((thrown: unknown) => {
      throw toStorageError(thrown);
    });
    this.#options.events.logStartMoved();
    this.#checkLeading();
    if (this.#state.mutants.has("deletion-not-awaited")) return this.#log.logStartOffset;
    if (this.#state.lowWatermark < target) await this.#waitingDeletions.wait(target, timeoutMs);
    // Not this log's own start: an earlier deletion, not answered yet, may have moved that one further.
    return this.#state.lowWatermark;
  }

  /** Ends the term: all who wait fail with `reason`, and so does whatever comes later (R15). */
  end(reason: OttlaError): void {
    if (this.#endedBecause !== undefined) return;
    this.#endedBecause = reason;
    this.#waiters.forReplicas.failAll(reason);
    this.#waiters.forLeader.failAll(reason);
    this.#waitingFetches.failAll(reason);
    this.#waitingDeletions.failAll(reason);
  }

  #refusalOf(error: OttlaError): OttlaError {
    return refusal(error.code, `${this.#options.name}: ${error.message}`, { ...error.metadata });
  }

  #checkLeading(): void {
    if (this.#endedBecause === undefined) return;
    throw refusal("NOT_LEADER_OR_FOLLOWER", `this node leads ${this.#options.name} no longer`);
  }

  /** R2: a request that carries another epoch comes from, or is meant for, another term. */
  #ownerOf(ownerEpoch: number, beginsOwnership: boolean) {
    const isForgiven = this.#state.mutants.has("former-owner-accepted") && !beginsOwnership;
    return { ownerEpoch: isForgiven ? this.#log.ownerEpoch : ownerEpoch, beginsOwnership };
  }

  #checkEpoch(leaderEpoch: number): void {
    this.#checkLeading();
    const own = this.#state.leaderEpoch;
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
}

function requiredAcks(acks: Acks): RequiredAcks {
  if (acks === Acks.NONE) return "none";
  return acks === Acks.LEADER ? "leader" : "all";
}
