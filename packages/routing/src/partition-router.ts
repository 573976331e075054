import { OttlaError, toOttlaError } from "@ottla/errors";
import type { ActiveProducer, PartitionDescription } from "@ottla/proto/ottla/internal/v1/storage";
import { type Clock, Deadlines } from "@ottla/runtime";
import { askLeaders, type ItemForLeader, type PartitionRef } from "./ask-leaders.ts";
import type { FetchOutcome } from "./fetch-stream.ts";
import type { LeaderView, PartitionPlacement } from "./leader-view.ts";
import { type AppendOptions, type AppendOutcome, PartitionPipeline } from "./partition-pipeline.ts";
import { fromErrorMessage, mayRetryRead } from "./retry.ts";
import { StorageNode, type TransportFor } from "./storage-node.ts";

export interface PartitionRouterOptions {
  readonly view: LeaderView;
  /** Opens a connection to a storage node; the router closes what it opened. */
  readonly transportFor: TransportFor;
  readonly clock: Clock;
  /** How many bytes of batches may wait for one node's credit before appends are refused. Default 64 MiB. */
  readonly maxWaitingBytesPerNode?: number;
  /** How many bytes of batches go into one message. Default 8 MiB. */
  readonly maxMessageBytes?: number;
  /** How long a read is tried again while leaders change, beyond its own waiting time. Default 3,000 ms. */
  readonly readRetryMs?: number;
}

export interface FetchOptions extends PartitionRef {
  readonly offset: number;
  readonly maxBytes: number;
  /** How many bytes to wait for; 0 and 1 mean any. */
  readonly minBytes: number;
  readonly maxWaitMs: number;
  readonly signal?: AbortSignal;
}

/** Kafka's special values of a lookup's timestamp. */
export const LATEST_TIMESTAMP = -1;
export const EARLIEST_TIMESTAMP = -2;
export const MAX_TIMESTAMP = -3;

export interface OffsetQuery extends PartitionRef {
  /** Milliseconds since the Unix epoch, or one of the special values. */
  readonly timestampMs: number;
}

export interface OffsetFound {
  /** -1 when no record matches. */
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

export interface EpochQuery extends PartitionRef {
  /** The leader epoch whose end is looked for. */
  readonly epoch: number;
}

export interface EpochEndFound {
  /** The largest epoch at or below the one asked for; -1 when the partition has not come so far. */
  readonly epoch: number;
  readonly endOffset: number;
}

export interface DeleteRecordsOptions extends PartitionRef {
  /** -1 means the high watermark. */
  readonly beforeOffset: number;
}

/** What the router is busy with, for metrics. */
export interface RouterLoad {
  readonly waitingBytes: number;
  readonly unansweredBytes: number;
  readonly pendingFetches: number;
  readonly retries: number;
  /** Storage nodes that are not asked for a moment, because their connections keep failing. */
  readonly ejectedNodes: number;
}

const DESCRIBE_RETRY_MS = 300;
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 250;

/**
 * Carries appends and fetches to the leaders of partitions: one stream of appends and one of fetches to each
 * storage node. Looks the leader up in the view and again after a refusal, inside the caller's deadline.
 */
export class PartitionRouter {
  readonly #options: Required<PartitionRouterOptions>;
  readonly #deadlines: Deadlines;
  readonly #nodes = new Map<number, StorageNode>();
  readonly #pipelines = new Map<string, PartitionPipeline>();
  #retries = 0;
  #closed = false;

  constructor(options: PartitionRouterOptions) {
    this.#options = {
      maxWaitingBytesPerNode: 64 * 1024 * 1024,
      maxMessageBytes: 8 * 1024 * 1024,
      readRetryMs: 3_000,
      ...options,
    };
    this.#deadlines = new Deadlines({ clock: options.clock });
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

  async fetch(options: FetchOptions): Promise<FetchOutcome> {
    const { clock } = this.#options;
    const startedMs = clock.monotonic();
    if (!this.#knowsAll([options])) await this.#refresh();
    return this.#retrying(options.maxWaitMs, options.signal, async () => {
      const placement = this.#leaderOf(options);
      const waitedMs = clock.monotonic() - startedMs;
      return this.#node(placement.leader).fetches.fetch(
        {
          topicId: options.topicId,
          partition: options.partition,
          leaderEpoch: placement.leaderEpoch,
          offset: options.offset,
          maxBytes: options.maxBytes,
          minBytes: options.minBytes,
          maxWaitMs: Math.max(0, Math.ceil(options.maxWaitMs - waitedMs)),
        },
        options.signal,
      );
    });
  }

  /** One answer for each query, in their order. */
  listOffsets(queries: readonly OffsetQuery[], signal?: AbortSignal): Promise<(OffsetFound | OttlaError)[]> {
    return this.#askLeaders(queries, signal, async (nodeId, mine) => {
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
    return this.#askLeaders(queries, signal, async (nodeId, mine) => {
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
    return this.#askLeaders(partitions, signal, async (nodeId, mine) => {
      const response = await this.#node(nodeId).control.describeProducers(
        { partitions: mine.map(({ item }) => ({ topicId: item.topicId, partition: item.partition })) },
        signal === undefined ? {} : { signal },
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
        signal === undefined ? {} : { signal },
      );
      return response.partitions.map((description) =>
        description.error === undefined ? description : fromErrorMessage(description.error),
      );
    };
    return this.#askLeaders(partitions, signal, ask, DESCRIBE_RETRY_MS);
  }

  /** Why a storage node takes no appends now: its disk is full. Undefined when it takes them. */
  async appendRefusal(nodeId: number, signal?: AbortSignal): Promise<OttlaError | undefined> {
    const { appendsRefused } = await this.#node(nodeId).control.describePartitions(
      { diskOnly: true },
      signal === undefined ? {} : { signal },
    );
    return appendsRefused === undefined ? undefined : fromErrorMessage(appendsRefused);
  }

  /** Moves the log start offset; resolves with where the log starts now. */
  async deleteRecords(options: DeleteRecordsOptions, signal?: AbortSignal): Promise<number> {
    if (!this.#knowsAll([options])) await this.#refresh();
    return this.#retrying(0, signal, async () => {
      const placement = this.#leaderOf(options);
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
      waitingBytes: nodes.reduce((sum, node) => sum + node.appends.waitingBytes, 0),
      unansweredBytes: nodes.reduce((sum, node) => sum + node.appends.unansweredBytes, 0),
      pendingFetches: nodes.reduce((sum, node) => sum + node.fetches.pendingCount, 0),
      retries: this.#retries,
      ejectedNodes: nodes.filter((node) => node.health.isEjected).length,
    };
  }

  /** Fails what is still under way and closes all connections. */
  async close(): Promise<void> {
    this.#closed = true;
    const reason = new OttlaError("UNAVAILABLE", "the gateway is shutting down");
    for (const pipeline of this.#pipelines.values()) pipeline.close(reason);
    this.#pipelines.clear();
    await Promise.all([...this.#nodes.values()].map((node) => node.close(reason)));
    this.#nodes.clear();
    this.#deadlines.clear();
  }

  #pipeline(topicId: string, partition: number): PartitionPipeline {
    const key = `${topicId}-${partition}`;
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const pipeline = new PartitionPipeline({
      topicId,
      partition,
      view: this.#options.view,
      clock: this.#options.clock,
      deadlines: this.#deadlines,
      streamFor: (nodeId) => this.#node(nodeId).appends,
      onIdle: () => this.#pipelines.delete(key),
      onRetry: () => {
        this.#retries += 1;
      },
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

  /** What the view does not know may have been created a moment ago, through another gateway. */
  #knowsAll(items: readonly PartitionRef[]): boolean {
    const { view } = this.#options;
    return items.every(({ topicId, partition }) => view.partition(topicId, partition) !== undefined);
  }

  /** Goes on with what is known where the store is away. */
  async #refresh(): Promise<void> {
    await this.#options.view.refresh().catch(() => undefined);
  }

  #leaderOf({ topicId, partition }: PartitionRef): PartitionPlacement {
    const placement = this.#options.view.partition(topicId, partition);
    if (placement === undefined) {
      const message = `partition ${partition} of topic id ${topicId} does not exist`;
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", message);
    }
    if (placement.leader < 0) {
      const message = `partition ${partition} of topic id ${topicId} has no leader`;
      throw new OttlaError("LEADER_NOT_AVAILABLE", message);
    }
    return placement;
  }

  /** Runs a read again after a stale view or a broken connection, with a fresh view, until its time is up. */
  async #retrying<T>(waitMs: number, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
    const { clock, readRetryMs } = this.#options;
    const deadlineMs = clock.monotonic() + Math.max(waitMs, readRetryMs);
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2)) {
      try {
        return await call();
      } catch (thrown) {
        const error = toOttlaError(thrown);
        const late = clock.monotonic() + backoffMs > deadlineMs;
        if (!mayRetryRead(error) || late || this.#closed || signal?.aborted === true) throw error;
        this.#retries += 1;
        await this.#refresh();
        await clock.sleep(backoffMs, signal);
      }
    }
  }

  /** Asks each leader for its items; those whose leader had changed are asked for again, until time is up. */
  async #askLeaders<Item extends PartitionRef, Answer>(
    items: readonly Item[],
    signal: AbortSignal | undefined,
    ask: (nodeId: number, mine: readonly ItemForLeader<Item>[]) => Promise<(Answer | OttlaError)[]>,
    retryMs: number = this.#options.readRetryMs,
  ): Promise<(Answer | OttlaError)[]> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonic() + retryMs;
    const leaderOf = (item: Item): PartitionPlacement => this.#leaderOf(item);
    const answers: (Answer | OttlaError)[] = items.map(
      () => new OttlaError("LEADER_NOT_AVAILABLE", "not asked"),
    );
    let open = items.map((_, index) => index);
    if (!this.#knowsAll(items)) await this.#refresh();
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2)) {
      await askLeaders({ items, leaderOf, ask }, open, answers);
      open = open.filter((index) => {
        const answer = answers[index];
        return answer instanceof OttlaError && mayRetryRead(answer);
      });
      const late = clock.monotonic() + backoffMs > deadlineMs;
      if (open.length === 0 || late || this.#closed || signal?.aborted === true) return answers;
      this.#retries += 1;
      await this.#refresh();
      await clock.sleep(backoffMs, signal);
    }
  }
}
