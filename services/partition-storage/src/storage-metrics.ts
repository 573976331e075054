import type { LogMetrics } from "@ottla/log";
import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";

/** What is counted when somebody asks, rather than kept up to date. */
export interface StorageGauges {
  partitions(): number;
  leaders(): number;
  failedPartitions(): number;
  waitingAppends(): number;
  waitingFetches(): number;
  diskFreeBytes(): number;
  diskTotalBytes(): number;
  /** Of the partitions that this node leads. */
  underReplicatedPartitions(): number;
  underMinIsrPartitions(): number;
  maxFollowerLagRecords(): number;
}

const PREFIX = "ottla_partition_storage";

/** The metrics of a storage node. One call for each batch at the most, none for each record. */
export class StorageMetrics {
  readonly log: LogMetrics;
  readonly #registry: MetricsRegistry;
  readonly #appendedBytes: Counter;
  readonly #appendSeconds: Histogram;
  readonly #refusedAppends: Counter<"reason">;
  readonly #fetchedBytes: Counter;
  readonly #isrChanges: Counter<"change">;
  readonly #resignations: Counter<"reason">;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const registers = [registry];
    this.#appendedBytes = new Counter({
      name: `${PREFIX}_appended_bytes_total`,
      help: "Bytes of record batches that were acknowledged or refused after they arrived",
      registers,
    });
    this.#appendSeconds = new Histogram({
      name: `${PREFIX}_append_duration_seconds`,
      help: "From the arrival of a batch to its answer",
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers,
    });
    this.#refusedAppends = new Counter({
      name: `${PREFIX}_failed_appends_total`,
      help: "Batches that were not acknowledged, by error",
      labelNames: ["reason"],
      registers,
    });
    this.#fetchedBytes = new Counter({
      name: `${PREFIX}_fetched_bytes_total`,
      help: "Bytes of record batches sent to gateways",
      registers,
    });
    this.#isrChanges = new Counter({
      name: `${PREFIX}_isr_changes_total`,
      help: "Changes of in-sync replicas that this node proposed as leader and the coordinator accepted",
      labelNames: ["change"],
      registers,
    });
    this.#resignations = new Counter({
      name: `${PREFIX}_resignations_total`,
      help: "Partitions that this node ceased to lead by itself, by reason",
      labelNames: ["reason"],
      registers,
    });
    this.log = logMetrics(registry);
  }

  countIsrChange(change: "shrink" | "expand"): void {
    this.#isrChanges.inc({ change });
  }

  countResignation(reason: string): void {
    this.#resignations.inc({ reason });
  }

  observeAppend(durationMs: number, sizeBytes: number): void {
    this.#appendSeconds.observe(durationMs / 1_000);
    this.#appendedBytes.inc(sizeBytes);
  }

  countRefusedAppend(reason: string): void {
    this.#refusedAppends.inc({ reason });
  }

  countFetched(sizeBytes: number): void {
    this.#fetchedBytes.inc(sizeBytes);
  }

  addGauges(gauges: StorageGauges): void {
    const add = (name: string, help: string, read: () => number): void => {
      const gauge: Gauge = new Gauge({
        name: `${PREFIX}_${name}`,
        help,
        registers: [this.#registry],
        collect: () => gauge.set(read()),
      });
    };
    add("partitions", "Replicas on this node", () => gauges.partitions());
    add("leaders", "Partitions that this node leads", () => gauges.leaders());
    add("failed_partitions", "Replicas whose log failed and is being reopened", () =>
      gauges.failedPartitions(),
    );
    add("waiting_appends", "Batches that wait for an acknowledgement", () => gauges.waitingAppends());
    add("waiting_fetches", "Fetches that wait for records", () => gauges.waitingFetches());
    add("under_replicated_partitions", "Partitions led here with fewer in-sync replicas than replicas", () =>
      gauges.underReplicatedPartitions(),
    );
    add(
      "under_min_isr_partitions",
      "Partitions led here with fewer in-sync replicas than min.insync.replicas",
      () => gauges.underMinIsrPartitions(),
    );
    add(
      "max_follower_lag_records",
      "Records that the slowest in-sync follower of a partition led here lacks",
      () => gauges.maxFollowerLagRecords(),
    );
    add("disk_free_bytes", "Free bytes of the disk below the data directory", () => gauges.diskFreeBytes());
    add("disk_total_bytes", "Size of the disk below the data directory", () => gauges.diskTotalBytes());
  }
}

function logMetrics(registry: MetricsRegistry): LogMetrics {
  const registers = [registry];
  const buckets = [...LATENCY_BUCKETS_SECONDS];
  const writeSeconds = new Histogram({
    name: `${PREFIX}_log_write_duration_seconds`,
    help: "Duration of one grouped write",
    buckets,
    registers,
  });
  const syncSeconds = new Histogram({
    name: `${PREFIX}_log_sync_duration_seconds`,
    help: "Duration of one fdatasync",
    buckets,
    registers,
  });
  const syncedBatches = new Histogram({
    name: `${PREFIX}_log_synced_batches`,
    help: "Batches that one fdatasync made durable",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    registers,
  });
  const cacheReads = new Counter({
    name: `${PREFIX}_tail_cache_reads_total`,
    help: "Reads by whether the tail cache had the batches",
    labelNames: ["outcome"],
    registers,
  });
  const corruptReads = new Counter({
    name: `${PREFIX}_corrupt_reads_total`,
    help: "Reads that met a damaged batch (R12)",
    registers,
  });
  const hits = cacheReads.labels("hit");
  const misses = cacheReads.labels("miss");
  return {
    observeWrite: (durationMs) => writeSeconds.observe(durationMs / 1_000),
    observeSync: (durationMs) => syncSeconds.observe(durationMs / 1_000),
    observeSyncedBatches: (batchCount) => syncedBatches.observe(batchCount),
    countTailCacheHit: () => hits.inc(),
    countTailCacheMiss: () => misses.inc(),
    countCorruptRead: () => corruptReads.inc(),
  };
}
