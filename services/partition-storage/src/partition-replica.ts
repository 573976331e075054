import { OttlaError, toOttlaError } from "@ottla/errors";
import type { LogConfig, SegmentedLog } from "@ottla/log";
import type { ClusterPartition } from "@ottla/metadata";
import type { ReplicaState } from "@ottla/replication";
import type { Clock, Deadlines, Logger } from "@ottla/runtime";
import { OpenReplica } from "./open-replica.ts";
import type { PartitionFollower } from "./partition-follower.ts";
import type { PartitionLeader } from "./partition-leader.ts";
import type { ReplicationNode } from "./replication-node.ts";
import type { FetchPurgatoryLimit } from "./waiting-fetches.ts";

/** What the metadata says about this replica. */
export interface ReplicaAssignment {
  /** Undefined when the topic is being deleted: nobody leads or follows then. */
  readonly state: ClusterPartition | undefined;
  readonly config: LogConfig;
}

export interface PartitionReplicaOptions {
  readonly topicId: string;
  readonly partition: number;
  /** As people know it: topic-partition. */
  readonly name: string;
  readonly node: ReplicationNode;
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
 * One replica on this node: its log, and while that is open and the node is registered, its part in
 * replication. A log that failed is left as a crash would leave it and opened again, later each time;
 * meanwhile nobody leads here.
 */
export class PartitionReplica {
  readonly topicId: string;
  readonly partition: number;
  readonly #options: PartitionReplicaOptions;
  #assignment: ReplicaAssignment;
  #lastTerm: ClusterPartition | undefined;
  #log: SegmentedLog | undefined;
  #open: OpenReplica | undefined;
  /** Of the log that failed: what it led is not led again in the same epoch. */
  #former: ReplicaState | undefined;
  #failure: OttlaError | undefined;
  /** Why the log, which is open, is not led although the metadata wants it. */
  #leadFailure: OttlaError | undefined;
  #reopenMs = FIRST_REOPEN_MS;
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
    return this.#open?.leader;
  }

  get follower(): PartitionFollower | undefined {
    return this.#open?.follower;
  }

  /** Undefined until the log is open and the node registered. */
  get open(): OpenReplica | undefined {
    return this.#open;
  }

  get log(): SegmentedLog | undefined {
    return this.#log;
  }

  get name(): string {
    return this.#options.name;
  }

  /** The partition's state as this replica was told last. */
  get state(): ClusterPartition | undefined {
    return this.#assignment.state;
  }

  /** The state before it was suspended. */
  get lastTerm(): ClusterPartition | undefined {
    return this.#lastTerm;
  }

  /** Why the log is not open, or not led, after one of both has failed. */
  get failure(): OttlaError | undefined {
    return this.#failure ?? this.#leadFailure;
  }

  /** A write or sync failed, and the log has not been opened since: what it holds may not be on disk. */
  get hasFailed(): boolean {
    return this.#cutFrom !== undefined;
  }

  /** Whether the metadata wants this node, in this registration, to lead (R2). */
  get shouldLead(): boolean {
    const { identity } = this.#options.node;
    const { state } = this.#assignment;
    return state?.leader === identity?.nodeId && state?.leaderNodeEpoch === identity?.nodeEpoch;
  }

  /** Opens (recovers) the log; a failure starts the reopening and does not reject. */
  openLog(): Promise<void> {
    this.#opening ??= this.#openLog().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  assign(assignment: ReplicaAssignment): void {
    const before = this.#assignment;
    this.#assignment = assignment;
    if (this.#log !== undefined && before.config !== assignment.config)
      this.#log.updateConfig(assignment.config);
    if (assignment.state === undefined) {
      this.#endOpen(new OttlaError("NOT_LEADER_OR_FOLLOWER", `${this.name} is being deleted`));
    } else if (this.#open === undefined) this.#begin();
    else this.#open.onMetadata(assignment.state);
    if (keepsOtherwise(before.config, assignment.config)) this.#options.onRetentionChange();
  }

  /** Leads and follows nothing until it is assigned anew; its log stays open, and nobody writes to it. */
  suspend(): void {
    const { state, config } = this.#assignment;
    this.#lastTerm = state ?? this.#lastTerm;
    this.#assignment = { state: undefined, config };
    this.#former = undefined;
    this.#endOpen(
      new OttlaError("NOT_LEADER_OR_FOLLOWER", `${this.name}: the metadata store went back; it waits`),
    );
  }

  /** The node has registered (again): it is another leader and another follower now (R2). */
  onRegistered(nodeEpoch: number): void {
    if (this.#open === undefined) this.#begin();
    else this.#open.onRegistered(nodeEpoch);
  }

  /** Nodes have come or gone. */
  onNodes(): void {
    const { state } = this.#assignment;
    if (state !== undefined) this.#open?.onMetadata(state);
  }

  /** Flushes and closes, so that the next start need not recover. */
  async close(): Promise<void> {
    await this.#end(
      new OttlaError("NOT_LEADER_OR_FOLLOWER", `${this.name}: the node is shutting down`),
      (log) => log.close(),
    );
  }

  /** Stops at once, without a flush: the files are about to go. */
  async discard(reason: OttlaError): Promise<void> {
    await this.#end(reason, (log) => log.abandon());
  }

  async #end(reason: OttlaError, finish: (log: SegmentedLog) => Promise<void>): Promise<void> {
    this.#closing.abort(reason);
    this.#endOpen(reason);
    await this.#opening;
    const log = this.#log;
    this.#log = undefined;
    if (log !== undefined) await finish(log);
  }

  async #openLog(): Promise<void> {
    const { openLog, logger } = this.#options;
    if (this.#closing.signal.aborted) return;
    try {
      const log = await openLog(this.#assignment.config, this.#cutFrom);
      await this.#noteLoss(log);
      log.onFailed((error) => this.#onLogFailed(log, error));
      log.updateConfig(this.#assignment.config);
      this.#log = log;
      this.#cutFrom = undefined;
      this.#failure = undefined;
      this.#reopenMs = FIRST_REOPEN_MS;
      this.#begin();
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

  /** R12: what this run of the node had synced and is gone, such as with its directory, was acknowledged. */
  async #noteLoss(log: SegmentedLog): Promise<void> {
    const { logEndOffset, directory } = log;
    const lostTo = this.#cutFrom ?? 0;
    if (logEndOffset >= lostTo) return;
    const range = { partition: this.name, directory, fromOffset: logEndOffset, toOffset: lostTo };
    this.#options.logger.error(range, "synced records of a partition are gone from the disk");
    await log.markDamaged(logEndOffset);
  }

  /** Takes part in replication, as soon as there are a log, a registration and a state of the partition. */
  #begin(): void {
    const { state } = this.#assignment;
    const { node, onLeaderChange } = this.#options;
    const log = this.#log;
    if (log === undefined || state === undefined || node.identity === undefined) return;
    if (this.#closing.signal.aborted || log.failure !== undefined) return;
    // Alone, nobody else can have what a failed log has lost: it leads on in its epoch.
    const isAlone = state.replicas.length <= 1;
    this.#open = new OpenReplica({
      ...this.#options,
      log,
      former: isAlone ? undefined : this.#former,
      damagedFrom: isAlone ? undefined : log.damagedFrom,
      onLeaderChange,
      onLeadFailure: (error) => this.#noteLeadFailure(error),
      onFailed: (error) => this.#onLogFailed(log, error),
    });
    this.#former = undefined;
    this.#open.onMetadata(state);
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
    const open = this.#open;
    if (this.#assignment.state !== undefined && this.#assignment.state.replicas.length > 1) open?.resign();
    this.#endOpen(
      new OttlaError("NOT_LEADER_OR_FOLLOWER", `the disk failed under ${this.name}: it is being reopened`),
    );
    this.#former = open?.state ?? this.#former;
    void log
      .abandon()
      .catch(() => undefined)
      .then(() => this.#reopenLater());
  }

  #endOpen(reason: OttlaError): void {
    const open = this.#open;
    this.#open = undefined;
    open?.close(reason);
  }

  #reopenLater(): void {
    const { clock } = this.#options;
    const delayMs = this.#reopenMs;
    this.#reopenMs = Math.min(MAX_REOPEN_MS, delayMs * 2);
    clock.sleep(delayMs, this.#closing.signal).then(
      () => this.openLog(),
      () => undefined,
    );
  }

  #noteLeadFailure(error: OttlaError | undefined): void {
    const { logger } = this.#options;
    // Once is enough: it is tried for as long as it lasts.
    if (error !== undefined && this.#leadFailure?.message !== error.message) {
      logger.error({ partition: this.name, err: error }, "cannot lead a partition");
    }
    this.#leadFailure = error;
  }
}

function keepsOtherwise(before: LogConfig, after: LogConfig): boolean {
  return (
    before.retentionMs !== after.retentionMs ||
    before.retentionBytes !== after.retentionBytes ||
    before.cleanupPolicy.join() !== after.cleanupPolicy.join()
  );
}
