import { OttlaError } from "@ottla/errors";
import type {
  ActiveProducer,
  DescribePartitionsResponse,
  PartitionDescription,
} from "@ottla/proto/ottla/internal/v1/storage";
import { Deadlines } from "@ottla/runtime";
import type { ItemForLeader, PartitionRef } from "./ask-leaders.ts";
import type { FetchOutcome } from "./fetch-stream.ts";
import { keyOf, LeaderNews } from "./leader-news.ts";
import type { LeaderChange, PartitionPlacement } from "./leader-view.ts";
import { PartitionPipeline } from "./partition-pipeline.ts";
import type { AppendOptions, AppendOutcome, HeldBytes } from "./pending-append.ts";
import { followerToRead } from "./read-replica.ts";
import { ReadRetries } from "./read-retries.ts";
import { fromErrorMessage } from "./retry.ts";
import type {
  DeleteRecordsOptions,
  EpochEndFound,
  EpochQuery,
  FetchOptions,
  OffsetFound,
  OffsetQuery,
  PartitionRouterOptions,
  RouterLoad,
} from "./router-types.ts";
import { StorageNode } from "./storage-node.ts";

const DESCRIBE_RETRY_MS = 300;
/** A leader that hangs must not keep what the others say. */
const DESCRIBE_CALL_MS = 2_000;
/** How long a leader that was replaced may still answer a fetch. */
const SUCCESSION_GRACE_MS = 100;

/**
 * Carries appends and fetches to the leaders of partitions: one stream of appends and one of fetches to each
 * storage node. Looks the leader up in the view and again after a refusal, inside the caller's deadline.
 */
export class PartitionRouter {
  readonly #options: Required<PartitionRouterOptions>;
  readonly #deadlines: Deadlines;
  readonly #news: LeaderNews;
  readonly #reads: ReadRetries;
  readonly #nodes = new Map<number, StorageNode>();
  readonly #pipelines = new Map<string, PartitionPipeline>();
  readonly #held: HeldBytes;
  readonly #stopListening: () => void;
  #failsStaleFetches = false;
  #retries = 0;
  #followerReads = 0;
  #closed = false;

  constructor(options: PartitionRouterOptions) {
    this.#options = {
      maxWaitingBytesPerNode: 64 * 1024 * 1024,
      maxMessageBytes: 8 * 1024 * 1024,
      maxHeldBytes: 128 * 1024 * 1024,
      readRetryMs: 3_000,
      readZone: "",
      ...options,
    };
    const { view, clock } = options;
    const news = new LeaderNews(clock);
    const onRetry = (): void => this.#countRetry();
    this.#held = { bytes: 0, limit: this.#options.maxHeldBytes };
    this.#deadlines = new Deadlines({ clock });
    this.#news = news;
    this.#reads = new ReadRetries({ view, clock, news, onRetry, isClosed: () => this.#closed });
    this.#stopListening = view.onChange((change) => this.#onChange(change));
  }

  /**
   * Appends one batch. Batches of one partition keep the order of the calls. Rejects with
   * the leader's error; with THROTTLING_QUOTA_EXCEEDED when too much waits; with
   * NETWORK_EXCEPTION or REQUEST_TIMED_OUT when the outcome is unknown.
   */
  append(options: AppendOptions): Promise<AppendOutcome> {
    if (this.#closed) return Promise.reject(new OttlaError("UNAVAILABLE", "the gateway is shutting down"));
    return this.#pipeline(options.topicId, options.partition).append(options);
  }

  /**
   * Fetches from the leader, or from a follower of the gateway's zone. The leader has the last word: where
   * the follower has nothing for a fetch that does not wait, or anything but records, the leader is asked.
   */
  async fetch(options: FetchOptions): Promise<FetchOutcome> {
    const { clock, readRetryMs, view, readZone: zone } = this.#options;
    const { maxWaitMs, signal } = options;
    const startedMs = clock.monotonic();
    const retryMs = options.retryMs ?? Math.max(maxWaitMs, readRetryMs);
    const isHealthy = (nodeId: number): boolean => this.#nodes.get(nodeId)?.health.isEjected !== true;
    let mayAskFollower = true;
    return this.#reads.one(options, { retryMs, signal }, async () => {
      const placement = this.#reads.leaderOf(options);
      const follower = mayAskFollower ? followerToRead(placement, { view, zone, isHealthy }) : undefined;
      const waitedMs = clock.monotonic() - startedMs;
      const leftMs = Math.max(0, Math.ceil(maxWaitMs - waitedMs));
      if (follower !== undefined) {
        mayAskFollower = false;
        const outcome = await this.#fetchFrom(follower, placement, { ...options, maxWaitMs: leftMs }).catch(
          (thrown: unknown) => {
            if (signal?.aborted === true) throw thrown;
            return undefined;
          },
        );
        if (outcome !== undefined && (outcome.sizeBytes > 0 || leftMs > 0)) {
          this.#followerReads += 1;
          return outcome;
        }
      }
      return this.#fetchFrom(placement.leader, placement, { ...options, maxWaitMs: leftMs });
    });
  }

  /** One answer for each query, in their order. */
  listOffsets(queries: readonly OffsetQuery[], signal?: AbortSignal): Promise<(OffsetFound | OttlaError)[]> {
    return this.#reads.many(queries, this.#terms(signal), async (nodeId, mine) => {
      const response = await this.#node(nodeId).control.listOffsets(
        {
          queries: mine.map(({ item, leaderEpoch }) => ({
            partition: { topicId: item.topicId, partition: item.partition },
            leaderEpoch,
            timestamp: BigInt(item.timestampMs),
          })),
        },
        signal === undefined ? {} : { signal },
      );
      return response.answers.map((answer) =>
        answer.error === undefined
          ? {
              offset: Number(answer.offset),
              timestampMs: Number(answer.timestampMs),
              leaderEpoch: answer.leaderEpoch,
            }
          : fromErrorMessage(answer.error),
      );
    });
  }

  /** Where leader epochs end: one answer for each query, in their order. */
  findEpochEnds(
    queries: readonly EpochQuery[],
    signal?: AbortSignal,
  ): Promise<(EpochEndFound | OttlaError)[]> {
    return this.#reads.many(queries, this.#terms(signal), async (nodeId, mine) => {
      const response = await this.#node(nodeId).control.findEpochEnds(
        {
          queries: mine.map(({ item, leaderEpoch }) => ({
            partition: { topicId: item.topicId, partition: item.partition },
            leaderEpoch,
            epoch: item.epoch,
          })),
        },
        signal === undefined ? {} : { signal },
      );
      return response.answers.map((answer) =>
        answer.error === undefined
          ? { epoch: answer.epoch, endOffset: Number(answer.endOffset) }
          : fromErrorMessage(answer.error),
      );
    });
  }

  /** The idempotent producers of each partition, in their order. */
  describeProducers(
    partitions: readonly PartitionRef[],
    signal?: AbortSignal,
  ): Promise<(readonly ActiveProducer[] | OttlaError)[]> {
    return this.#reads.many(partitions, this.#terms(signal), async (nodeId, mine) => {
      const response = await this.#node(nodeId).control.describeProducers(
        { partitions: mine.map(({ item }) => ({ topicId: item.topicId, partition: item.partition })) },
        { timeoutMs: DESCRIBE_CALL_MS, ...(signal && { signal }) },
      );
      return response.partitions.map(({ producers, error }) =>
        error === undefined ? producers : fromErrorMessage(error),
      );
    });
  }

  /**
   * One description for each partition, in their order; only a partition's leader is asked, and
   * not for long where there is none, because most who ask would rather have the others soon.
   */
  describePartitions(
    partitions: readonly PartitionRef[],
    signal?: AbortSignal,
  ): Promise<(PartitionDescription | OttlaError)[]> {
    const ask = async (nodeId: number, mine: readonly ItemForLeader<PartitionRef>[]) => {
      const response = await this.#node(nodeId).control.describePartitions(
        { partitions: mine.map(({ item }) => ({ topicId: item.topicId, partition: item.partition })) },
        { timeoutMs: DESCRIBE_CALL_MS, ...(signal && { signal }) },
      );
      return response.partitions.map((description) =>
        description.error === undefined ? description : fromErrorMessage(description.error),
      );
    };
    return this.#reads.many(partitions, { retryMs: DESCRIBE_RETRY_MS, signal }, ask);
  }

  /**
   * What one storage node says of its replicas and its disk: of those asked for, of all that it
   * holds where none are named, or of its disk alone. Rejects when it does not answer.
   */
  async describeNode(
    nodeId: number,
    partitions: readonly PartitionRef[] | "disk only" | "all",
    signal?: AbortSignal,
  ): Promise<DescribePartitionsResponse> {
    const named = typeof partitions === "string" ? [] : partitions;
    return this.#node(nodeId).control.describePartitions(
      {
        partitions: named.map(({ topicId, partition }) => ({ topicId, partition })),
        diskOnly: partitions === "disk only",
      },
      signal === undefined ? {} : { signal },
    );
  }

  /** Why a storage node takes no appends now: its disk is full. Undefined when it takes them. */
  async appendRefusal(nodeId: number, signal?: AbortSignal): Promise<OttlaError | undefined> {
    const { appendsRefused } = await this.describeNode(nodeId, "disk only", signal);
    return appendsRefused === undefined ? undefined : fromErrorMessage(appendsRefused);
  }

  /** Moves the log start offset; resolves with where the log starts now. */
  async deleteRecords(options: DeleteRecordsOptions, signal?: AbortSignal): Promise<number> {
    return this.#reads.one(options, this.#terms(signal), async () => {
      const placement = this.#reads.leaderOf(options);
      const response = await this.#node(placement.leader).control.deleteRecords(
        {
          partition: { topicId: options.topicId, partition: options.partition },
          leaderEpoch: placement.leaderEpoch,
          beforeOffset: BigInt(options.beforeOffset),
        },
        signal === undefined ? {} : { signal },
      );
      return Number(response.logStartOffset);
    });
  }

  /**
   * The node has left the cluster, or has registered again: what is under way on the old connections
   * fails (and is tried again where that is safe), what comes next goes to where the view says then.
   */
  drop(nodeId: number): void {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    this.#nodes.delete(nodeId);
    const message = `storage node ${nodeId} has left the cluster or has started anew`;
    void node.close(new OttlaError("NETWORK_EXCEPTION", message));
  }

  load(): RouterLoad {
    const nodes = [...this.#nodes.values()];
    return {
      waitingBytes: nodes.reduce((sum, node) => sum + node.appends.waitingBytes, this.#held.bytes),
      unansweredBytes: nodes.reduce((sum, node) => sum + node.appends.unansweredBytes, 0),
      pendingFetches: nodes.reduce((sum, node) => sum + node.fetches.pendingCount, 0),
      retries: this.#retries,
      followerReads: this.#followerReads,
      ejectedNodes: nodes.filter((node) => node.health.isEjected).length,
    };
  }

  /** Fails what is still under way and closes all connections. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    const reason = new OttlaError("UNAVAILABLE", "the gateway is shutting down");
    for (const pipeline of this.#pipelines.values()) pipeline.close(reason);
    this.#pipelines.clear();
    await Promise.all([...this.#nodes.values()].map((node) => node.close(reason)));
    this.#nodes.clear();
    this.#deadlines.clear();
  }

  #pipeline(topicId: string, partition: number): PartitionPipeline {
    const key = keyOf({ topicId, partition });
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const pipeline = new PartitionPipeline({
      topicId,
      partition,
      view: this.#options.view,
      news: this.#news,
      clock: this.#options.clock,
      deadlines: this.#deadlines,
      held: this.#held,
      streamFor: (nodeId) => this.#node(nodeId).appends,
      onIdle: () => this.#pipelines.delete(key),
      onRetry: () => this.#countRetry(),
    });
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  #node(nodeId: number): StorageNode {
    if (this.#closed) throw new OttlaError("UNAVAILABLE", "the gateway is shutting down");
    const known = this.#nodes.get(nodeId);
    if (known !== undefined) return known;
    const node = new StorageNode({
      nodeId,
      clock: this.#options.clock,
      transportFor: this.#options.transportFor,
      maxWaitingBytes: this.#options.maxWaitingBytesPerNode,
      maxMessageBytes: this.#options.maxMessageBytes,
    });
    this.#nodes.set(nodeId, node);
    return node;
  }

  #fetchFrom(nodeId: number, placement: PartitionPlacement, options: FetchOptions): Promise<FetchOutcome> {
    const { topicId, partition, offset, maxBytes, minBytes, maxWaitMs, signal, traceparent } = options;
    const { leaderEpoch, leader } = placement;
    const fromFollower = nodeId !== leader;
    return this.#node(nodeId).fetches.fetch(
      { topicId, partition, leaderEpoch, offset, maxBytes, minBytes, maxWaitMs, fromFollower, traceparent },
      signal,
    );
  }

  #terms(signal: AbortSignal | undefined): { retryMs: number; signal: AbortSignal | undefined } {
    return { retryMs: this.#options.readRetryMs, signal };
  }

  #countRetry(): void {
    this.#retries += 1;
  }

  #onChange(change: LeaderChange): void {
    this.#news.tell(change);
    for (const ref of change.partitions) this.#pipelines.get(keyOf(ref))?.leaderChanged();
    if (change.partitions.length === 0 || this.#failsStaleFetches) return;
    this.#failsStaleFetches = true;
    this.#deadlines.set(SUCCESSION_GRACE_MS, () => {
      this.#failsStaleFetches = false;
      this.#failStaleFetches();
    });
  }

  /** A leader that hangs does not say that it was replaced: its fetches go to the successor. */
  #failStaleFetches(): void {
    const { view } = this.#options;
    for (const [nodeId, { fetches }] of this.#nodes) {
      fetches.failStale(({ topicId, partition, leaderEpoch, fromFollower }) => {
        const placement = view.partition(topicId, partition);
        if (placement === undefined || placement.leader < 0) return false;
        if (fromFollower === true) return !placement.isr.includes(nodeId);
        return placement.leader !== nodeId || placement.leaderEpoch > leaderEpoch;
      });
    }
  }
}
