import { OttlaError, toOttlaError } from "@ottla/errors";
import type { LogConfig, SegmentedLog } from "@ottla/log";
import type { Clock, Deadlines, Logger } from "@ottla/runtime";
import { type LeaderTerm, PartitionLeader } from "./partition-leader.ts";
import type { FetchPurgatoryLimit } from "./waiting-fetches.ts";

/** What the metadata says about this replica. */
export interface ReplicaAssignment {
  /** Present when this node, in this registration, leads the partition (R2). */
  readonly term: LeaderTerm | undefined;
  readonly config: LogConfig;
}

export interface PartitionReplicaOptions {
  readonly topicId: string;
  readonly partition: number;
  /** As people know it: topic-partition. */
  readonly name: string;
  readonly nodeId: number;
  readonly assignment: ReplicaAssignment;
  /** `cutFrom`: after a failure, nothing from this offset on is proven to be on disk. */
  readonly openLog: (config: LogConfig, cutFrom: number | undefined) => Promise<SegmentedLog>;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly purgatoryLimit: FetchPurgatoryLimit;
  readonly logger: Logger;
  /** The replica began or ceased to lead. */
  readonly onLeaderChange: () => void;
  /** What the topic keeps has changed: there may be something to delete. */
  readonly onRetentionChange: () => void;
}

const FIRST_REOPEN_MS = 500;
const MAX_REOPEN_MS = 30_000;

/**
 * One replica on this node: its log, and the term of leadership if it has one. A log that failed is
 * left as a crash would leave it and opened again, later each time; meanwhile nobody leads here. A term
 * that cannot begin is tried again in the same way.
 */
export class PartitionReplica {
  readonly topicId: string;
  readonly partition: number;
  readonly #options: PartitionReplicaOptions;
  #assignment: ReplicaAssignment;
  #log: SegmentedLog | undefined;
  #leader: PartitionLeader | undefined;
  #failure: OttlaError | undefined;
  /** Why the log, which is open, cannot be led. */
  #leadFailure: OttlaError | undefined;
  #reopenMs = FIRST_REOPEN_MS;
  #leadAgainMs = FIRST_REOPEN_MS;
  #leadAgainScheduled = false;
  readonly #closing = new AbortController();
  #opening: Promise<void> | undefined;
  #cutFrom: number | undefined;

  constructor(options: PartitionReplicaOptions) {
    this.topicId = options.topicId;
    this.partition = options.partition;
    this.#options = options;
    this.#assignment = options.assignment;
  }

  get leader(): PartitionLeader | undefined {
    return this.#leader;
  }

  get log(): SegmentedLog | undefined {
    return this.#log;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Why the log is not open, or not led, after one of both has failed. */
  get failure(): OttlaError | undefined {
    return this.#failure ?? this.#leadFailure;
  }

  /** Whether the metadata wants this node to lead, whether or not the log is open. */
  get shouldLead(): boolean {
    return this.#assignment.term !== undefined;
  }

  /** Opens (recovers) the log; a failure starts the reopening and does not reject. */
  open(): Promise<void> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  assign(assignment: ReplicaAssignment): void {
    const before = this.#assignment;
    this.#assignment = assignment;
    if (this.#log !== undefined && before.config !== assignment.config)
      this.#log.updateConfig(assignment.config);
    this.#follow();
    if (keepsOtherwise(before.config, assignment.config)) this.#options.onRetentionChange();
  }

  /** Flushes and closes, so that the next start need not recover. */
  async close(): Promise<void> {
    await this.#end(
      new OttlaError("NOT_LEADER_OR_FOLLOWER", `${this.name}: the node is shutting down`),
      (log) => log.close(),
    );
  }

  /** Stops at once, without a flush: the files are about to go. */
  async discard(): Promise<void> {
    await this.#end(new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `${this.name} was deleted`), (log) =>
      log.abandon(),
    );
  }

  async #end(reason: OttlaError, finish: (log: SegmentedLog) => Promise<void>): Promise<void> {
    this.#closing.abort(reason);
    this.#resign(reason);
    await this.#opening;
    const log = this.#log;
    this.#log = undefined;
    if (log !== undefined) await finish(log);
  }

  async #open(): Promise<void> {
    const { openLog, logger } = this.#options;
    if (this.#closing.signal.aborted) return;
    try {
      const log = await openLog(this.#assignment.config, this.#cutFrom);
      log.onProgress(() => this.#leader?.onLogProgress());
      log.onAppendsFailed((fromOffset, error) => this.#leader?.onAppendsFailed(fromOffset, error));
      log.onFailed((error) => this.#onLogFailed(log, error));
      log.updateConfig(this.#assignment.config);
      this.#log = log;
      this.#cutFrom = undefined;
      this.#failure = undefined;
      this.#reopenMs = FIRST_REOPEN_MS;
      this.#follow();
    } catch (thrown) {
      const error = toOttlaError(thrown);
      this.#failure = error;
      if (this.#closing.signal.aborted) {
        // Its files went, or the node is stopping: nobody wants it open any more.
        logger.debug({ partition: this.name, err: error }, "gave up opening the log of a partition");
        return;
      }
      logger.error(
        { partition: this.name, err: error },
        "cannot open the log of a partition, will try again",
      );
      this.#reopenLater();
    }
  }

  /**
   * After a failed write or sync nothing in memory can be trusted: as after a crash, only
   * what is on disk counts.
   */
  #onLogFailed(log: SegmentedLog, error: OttlaError): void {
    if (this.#log !== log) return;
    this.#log = undefined;
    this.#failure = error;
    this.#cutFrom = log.flushedEndOffset;
    this.#options.logger.error(
      { partition: this.name, err: error, reopenMs: this.#reopenMs },
      "the log of a partition failed: resigned, will open it again as after a crash",
    );
    this.#resign(
      new OttlaError("NOT_LEADER_OR_FOLLOWER", `the disk failed under ${this.name}: it is being reopened`),
    );
    void log
      .abandon()
      .catch(() => undefined)
      .then(() => this.#reopenLater());
  }

  #reopenLater(): void {
    const { clock } = this.#options;
    const delayMs = this.#reopenMs;
    this.#reopenMs = Math.min(MAX_REOPEN_MS, delayMs * 2);
    clock.sleep(delayMs, this.#closing.signal).then(
      () => this.open(),
      () => undefined,
    );
  }

  /** Leads, goes on leading, or resigns, as the assignment says. */
  #follow(): void {
    const { term } = this.#assignment;
    if (term === undefined || term.leaderEpoch !== this.#leader?.leaderEpoch) {
      this.#resign(new OttlaError("NOT_LEADER_OR_FOLLOWER", `the leader epoch of ${this.name} has changed`));
    }
    if (term === undefined) this.#leadFailure = undefined;
    if (term === undefined || this.#log === undefined || this.#closing.signal.aborted) return;
    if (this.#leader !== undefined) {
      this.#leader.updateTerm(term);
      return;
    }
    const { name, nodeId, deadlines, purgatoryLimit, onLeaderChange } = this.#options;
    try {
      this.#leader = new PartitionLeader({ name, nodeId, log: this.#log, term, deadlines, purgatoryLimit });
      this.#leadFailure = undefined;
      this.#leadAgainMs = FIRST_REOPEN_MS;
      onLeaderChange();
    } catch (thrown) {
      this.#cannotLead(toOttlaError(thrown));
    }
  }

  /**
   * The log knows a later epoch than the metadata (a restored backup), which must not be led in an epoch
   * that repeats; or it takes nothing just now. Later the metadata, or the log, may be another.
   */
  #cannotLead(error: OttlaError): void {
    const { clock, logger, name } = this.#options;
    // Once is enough: it is tried for as long as it lasts.
    if (this.#leadFailure?.message !== error.message) {
      logger.error({ partition: name, err: error }, "cannot lead a partition, will try again");
    }
    this.#leadFailure = error;
    if (this.#leadAgainScheduled) return;
    this.#leadAgainScheduled = true;
    const delayMs = this.#leadAgainMs;
    this.#leadAgainMs = Math.min(MAX_REOPEN_MS, delayMs * 2);
    clock.sleep(delayMs, this.#closing.signal).then(
      () => {
        this.#leadAgainScheduled = false;
        this.#follow();
      },
      () => undefined,
    );
  }

  #resign(reason: OttlaError): void {
    const leader = this.#leader;
    if (leader === undefined) return;
    this.#leader = undefined;
    leader.resign(reason);
    this.#options.onLeaderChange();
  }
}

function keepsOtherwise(before: LogConfig, after: LogConfig): boolean {
  return (
    before.retentionMs !== after.retentionMs ||
    before.retentionBytes !== after.retentionBytes ||
    before.cleanupPolicy.join() !== after.cleanupPolicy.join()
  );
}
