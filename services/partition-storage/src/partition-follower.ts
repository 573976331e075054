import { OttlaError } from "@ottla/errors";
import type { ReadResult, SegmentedLog } from "@ottla/log";
import type { FollowerState } from "@ottla/replication";
import type { Deadlines } from "@ottla/runtime";
import type { ReadableReplica, VisibleOffsets } from "./readable-replica.ts";
import { VisibleBytes } from "./visible-bytes.ts";
import { type FetchPurgatoryLimit, type FetchWake, WaitingFetches } from "./waiting-fetches.ts";

export interface PartitionFollowerOptions {
  readonly name: string;
  readonly log: SegmentedLog;
  readonly state: FollowerState;
  /** The node has its lease: what it knows is not of long ago. */
  readonly hasLease: () => boolean;
  /** A read met a damaged batch (R12). */
  readonly onReadFailed: (offset: number, error: unknown) => void;
  readonly deadlines: Deadlines;
  readonly purgatoryLimit: FetchPurgatoryLimit;
}

/**
 * One term of following, for readers near this replica (KIP-392): they see what it knows to be committed.
 * Whatever it cannot answer is NOT_LEADER_OR_FOLLOWER, and the leader is asked.
 */
export class PartitionFollower implements ReadableReplica {
  readonly #options: PartitionFollowerOptions;
  readonly #log: SegmentedLog;
  readonly #state: FollowerState;
  readonly #waitingFetches: WaitingFetches;
  readonly #visibleBytes: VisibleBytes;
  #endedBecause: OttlaError | undefined;

  constructor(options: PartitionFollowerOptions) {
    const { deadlines, purgatoryLimit: limit } = options;
    this.#options = options;
    this.#log = options.log;
    this.#state = options.state;
    this.#waitingFetches = new WaitingFetches({ deadlines, limit });
    this.#visibleBytes = new VisibleBytes(options.state.highWatermark, options.log.logEndOffset);
  }

  get highWatermark(): number {
    return this.#state.highWatermark;
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
      endUnknown: true,
    };
  }

  checkFetch(offset: number, leaderEpoch: number): void {
    if (this.#endedBecause !== undefined) throw this.#endedBecause;
    const { highWatermark, phase, hasLostRecords } = this.#state;
    const isInStep = (phase === "following" || phase === "aligning") && !hasLostRecords;
    const isOfTerm = leaderEpoch < 0 || leaderEpoch === this.#state.leaderEpoch;
    const isInRange = offset >= this.#log.logStartOffset && offset <= highWatermark;
    if (isInStep && isOfTerm && isInRange && this.#options.hasLease()) return;
    throw notAnswered(this.#options.name);
  }

  async read(offset: number, maxBytes: number): Promise<ReadResult> {
    try {
      const endOffset = this.#state.highWatermark;
      return await this.#log.read(offset, { maxBytes, endOffset, atLeastOneBatch: true });
    } catch (thrown) {
      this.#options.onReadFailed(offset, thrown);
      throw notAnswered(this.#options.name);
    }
  }

  waitForVisibleBytes(
    neededVisibleBytes: number,
    maxWaitMs: number,
    wake: (reason: FetchWake) => void,
  ): () => void {
    if (this.#endedBecause !== undefined) throw this.#endedBecause;
    return this.#waitingFetches.add(neededVisibleBytes, maxWaitMs, wake);
  }

  onAppended(endOffset: number, sizeBytes: number): void {
    this.#visibleBytes.appended(endOffset, sizeBytes);
  }

  /** The log ends at the offset again. */
  onCutBack(endOffset: number): void {
    this.#visibleBytes.forgetBeyond(endOffset);
  }

  onHighWatermark(): void {
    this.#visibleBytes.passed(this.#state.highWatermark);
    this.#waitingFetches.advanced(this.#visibleBytes.total);
  }

  /** Ends the term for its readers, who ask the leader then. */
  end(): void {
    if (this.#endedBecause !== undefined) return;
    this.#endedBecause = notAnswered(this.#options.name);
    this.#waitingFetches.failAll(this.#endedBecause);
  }
}

function notAnswered(name: string): OttlaError {
  return new OttlaError(
    "NOT_LEADER_OR_FOLLOWER",
    `this follower cannot answer that about ${name}: ask the leader`,
  );
}
