import type { DataDirectory } from "@ottla/log";
import type { ClusterView, MetadataStore, OnHeld } from "@ottla/metadata";
import type { Mutants } from "@ottla/replication";
import type { ServiceRegistry, Transport } from "@ottla/rpc";
import type { Clock, Disk, Logger, MetricsRegistry, Random, ReadBuffers, Tracer } from "@ottla/runtime";
import type { StorageLimits } from "./storage-service.ts";

/** The part of the settings that is about storage. */
export interface StorageSettings {
  readonly tailCacheBytes: number;
  readonly syncConcurrency: number;
  readonly maxOpenSegments: number;
  readonly retentionCheckIntervalMs: number;
  readonly compactionCheckIntervalMs: number;
  readonly compactionBytesPerSecond: number;
  readonly compactionMemoryBytes: number;
  /** Kafka's replica.lag.time.max.ms. */
  readonly replicaLagTimeMaxMs: number;
  readonly catchUpBytesPerSecond: number;
  /** A write or sync that takes longer means that the disk hangs. */
  readonly diskStallTimeoutMs: number;
}

export interface PartitionStorageOptions {
  readonly nodeId: number;
  readonly zone: string;
  /** Where the service is reached once `serve` was called. */
  readonly address: string;
  /** Called with the service, to be served to gateways, before the node registers. */
  readonly serve: (registry: ServiceRegistry) => void;
  readonly leaseTtlMs: number;
  /** Gives up on the registration; has no effect later. */
  readonly signal?: AbortSignal;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  /** Called when another process has the node's id, and when it has not any more. */
  readonly onHeld?: OnHeld;
  readonly disk: Disk;
  /** Open, and closed by whoever opened it, with what `stop` says. */
  readonly directory: DataDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly tracer?: Tracer | undefined;
  readonly settings: StorageSettings;
  /** The node's own values for topic settings that a topic does not set. */
  readonly topicDefaults: Readonly<Record<string, string>>;
  readonly limits?: Partial<StorageLimits>;
  /**
   * How often high watermark and recovery point are put down. Damage at rest beyond them looks like what a
   * crash left, if there is one before they are put down again. Default 60 s.
   */
  readonly checkpointIntervalMs?: number;
  /** A connection to the active coordinator; throws NOT_CONTROLLER where there is none. */
  readonly controllerTransport: () => Transport;
  /** A connection of its own to another storage node; throws where it cannot be reached now. */
  readonly peerTransport: (nodeId: number) => Transport;
  /** Deliberate bugs, for the tests that show that the checkers find them. */
  readonly mutants?: Mutants;
  /** Shared with a gateway of the same process, which gives back what its clients have taken. */
  readonly readBuffers?: ReadBuffers;
  /**
   * Whether compaction has batches decompressed and compressed on threads: what they end with comes at a time
   * that nobody decides.
   */
  readonly usesCodecThreads?: boolean;
}
