import type { Clock } from "@ottla/runtime";
import type { PartitionRef } from "./ask-leaders.ts";
import type { LeaderView } from "./leader-view.ts";
import type { TransportFor } from "./storage-node.ts";

export interface PartitionRouterOptions {
  readonly view: LeaderView;
  /** Opens a connection to a storage node; the router closes what it opened. */
  readonly transportFor: TransportFor;
  readonly clock: Clock;
  /** How many bytes of batches may wait for one node's credit before appends are refused. Default 64 MiB. */
  readonly maxWaitingBytesPerNode?: number;
  /** How many bytes of batches go into one message. Default 8 MiB. */
  readonly maxMessageBytes?: number;
  /** How many bytes may wait for leaders that change, before appends are refused. Default 128 MiB. */
  readonly maxHeldBytes?: number;
  /** How long a read is tried again while leaders change, beyond its own waiting time. Default 3,000 ms. */
  readonly readRetryMs?: number;
  /** Fetches go to a replica of this zone that is in sync, where there is one. Default: to leaders only. */
  readonly readZone?: string;
}

export interface FetchOptions extends PartitionRef {
  readonly offset: number;
  readonly maxBytes: number;
  /** How many bytes to wait for; 0 and 1 mean any. */
  readonly minBytes: number;
  readonly maxWaitMs: number;
  /** How long to try again while leaders change. Default: the router's. */
  readonly retryMs?: number;
  readonly signal?: AbortSignal;
  /** Of the span that the fetch belongs to. */
  readonly traceparent?: string | undefined;
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
  /** Fetches that a follower of the gateway's zone has answered. */
  readonly followerReads: number;
  /** Storage nodes that are not asked for a moment, because their connections keep failing. */
  readonly ejectedNodes: number;
}
