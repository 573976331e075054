import type { CompactionReport } from "@ottla/log";
import { Counter, Gauge, Histogram, type MetricsRegistry } from "@ottla/runtime";

const PREFIX = "ottla_partition_storage_compaction";

/** What compaction did, for the node as a whole. */
export class CompactionMetrics {
  readonly #seconds: Histogram;
  readonly #readBytes: Counter;
  readonly #writtenBytes: Counter;
  readonly #removedRecords: Counter;
  readonly #failures: Counter;
  readonly #maxDirtyRatio: Gauge;
  readonly #damaged: Gauge;

  constructor(registry: MetricsRegistry) {
    const registers = [registry];
    const counter = (name: string, help: string): Counter =>
      new Counter({ name: `${PREFIX}_${name}`, help, registers });
    const gauge = (name: string, help: string): Gauge =>
      new Gauge({ name: `${PREFIX}_${name}`, help, registers });
    this.#seconds = new Histogram({
      name: `${PREFIX}_duration_seconds`,
      help: "Duration of the compaction of one log",
      buckets: [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800],
      registers,
    });
    this.#readBytes = counter("read_bytes_total", "Bytes that compaction read to copy what it keeps");
    this.#writtenBytes = counter("written_bytes_total", "Bytes that compaction kept and wrote");
    this.#removedRecords = counter("removed_records_total", "Records that compaction took out of logs");
    this.#failures = counter("failures_total", "Compactions that ended with an error");
    this.#maxDirtyRatio = gauge(
      "max_dirty_ratio",
      "The largest share of uncompacted bytes of all compacted logs, from 0 to 1",
    );
    this.#damaged = gauge("damaged_partitions", "Compacted logs that are left alone because of damage");
  }

  observeCompaction(durationMs: number, report: CompactionReport): void {
    this.#seconds.observe(durationMs / 1_000);
    this.#readBytes.inc(report.readBytes);
    this.#writtenBytes.inc(report.writtenBytes);
    this.#removedRecords.inc(report.removedRecords);
  }

  countFailure(): void {
    this.#failures.inc();
  }

  observeBacklog(maxDirtyRatio: number, damagedCount: number): void {
    this.#maxDirtyRatio.set(maxDirtyRatio);
    this.#damaged.set(damagedCount);
  }
}
