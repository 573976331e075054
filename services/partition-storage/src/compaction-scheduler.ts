import { type OttlaError, toOttlaError } from "@ottla/errors";
import { type CompactionBacklog, CompactionPace, type DiskSpaceGuard, type SegmentedLog } from "@ottla/log";
import type { Clock, Logger, Timer } from "@ottla/runtime";
import type { CompactionMetrics } from "./compaction-metrics.ts";
import type { PartitionReplica } from "./partition-replica.ts";
import type { PartitionStore } from "./partition-store.ts";

export interface CompactionSchedulerOptions {
  readonly store: Pick<PartitionStore, "replicas">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: CompactionMetrics;
  readonly checkIntervalMs: number;
  /** Read and written together. */
  readonly bytesPerSecond: number;
  /** For the map of keys: taken while a compaction runs only. */
  readonly memoryBytes: number;
  readonly spaceGuard: Pick<DiskSpaceGuard, "isFull">;
}

interface Candidate {
  readonly replica: PartitionReplica;
  readonly log: SegmentedLog;
  readonly highWatermark: number;
  readonly backlog: CompactionBacklog;
}

/**
 * Compacts the logs of a node one at a time, the one with the largest share of uncompacted bytes first.
 * Leaders and followers compact alike. A log with damage is left alone until it is opened anew.
 */
export class CompactionScheduler {
  readonly #options: CompactionSchedulerOptions;
  readonly #pace: CompactionPace;
  readonly #damaged = new WeakSet<SegmentedLog>();
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: CompactionSchedulerOptions) {
    const { clock, bytesPerSecond: maxBytesPerSecond } = options;
    this.#options = options;
    this.#pace = new CompactionPace({ clock, maxBytesPerSecond });
    this.#schedule();
  }

  /** Nothing new is begun; what is under way ends when its log is closed, and then `ended` resolves. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  ended(): Promise<void> {
    return this.#running;
  }

  #schedule(): void {
    if (this.#stopped) return;
    const { clock, checkIntervalMs } = this.#options;
    const run = (): void => {
      this.#running = this.#compactAll().then(() => this.#schedule());
    };
    this.#timer = clock.setTimer(checkIntervalMs, run, { background: true });
  }

  /** Until nothing is due any more; what failed waits for the next time. */
  async #compactAll(): Promise<void> {
    const failed = new Set<SegmentedLog>();
    while (!this.#stopped) {
      const candidate = await this.#dirtiest(failed);
      if (candidate === undefined || this.#stopped) return;
      if (!(await this.#compact(candidate))) failed.add(candidate.log);
    }
  }

  async #dirtiest(failed: ReadonlySet<SegmentedLog>): Promise<Candidate | undefined> {
    const { clock, metrics, spaceGuard, store } = this.#options;
    let dirtiest: Candidate | undefined;
    let maxDirtyRatio = 0;
    let damagedCount = 0;
    for (const replica of store.replicas()) {
      const { log, open } = replica;
      if (log === undefined || open === undefined || !log.config.cleanupPolicy.includes("compact")) continue;
      if (this.#damaged.has(log)) damagedCount += 1;
      if (failed.has(log) || this.#damaged.has(log)) continue;
      const { highWatermark } = open;
      const backlog = await backlogOf(log, clock.now(), highWatermark);
      if (backlog === undefined) continue;
      maxDirtyRatio = Math.max(maxDirtyRatio, backlog.dirtyRatio);
      const isDirtier = backlog.dirtyRatio >= (dirtiest?.backlog.dirtyRatio ?? 0);
      if (backlog.isDue && isDirtier) dirtiest = { replica, log, highWatermark, backlog };
    }
    metrics.observeBacklog(maxDirtyRatio, damagedCount);
    // Compaction needs room before it gives any back.
    return spaceGuard.isFull ? undefined : dirtiest;
  }

  /** False when the log is not to be tried again at once. */
  async #compact({ replica, log, highWatermark, backlog }: Candidate): Promise<boolean> {
    const { clock, logger, memoryBytes, metrics } = this.#options;
    const startedMs = clock.monotonic();
    try {
      const nowMs = clock.now();
      const report = await log.compact({ nowMs, highWatermark, pace: this.#pace, maxMapBytes: memoryBytes });
      const durationMs = clock.monotonic() - startedMs;
      metrics.observeCompaction(durationMs, report);
      logger.debug({ partition: replica.name, durationMs, ...backlog, ...report }, "compacted a log");
      return report.isComplete;
    } catch (thrown) {
      this.#failed(replica, log, toOttlaError(thrown));
      return false;
    }
  }

  #failed(replica: PartitionReplica, log: SegmentedLog, error: OttlaError): void {
    const { logger, metrics } = this.#options;
    // Closed, or failed: its owner knows.
    if (this.#stopped || replica.log !== log || log.failure !== undefined) return;
    metrics.countFailure();
    if (error.code !== "CORRUPT_MESSAGE") {
      logger.warn({ partition: replica.name, err: error }, "a compaction failed, will try again");
      return;
    }
    this.#damaged.add(log);
    const reason = "a log is damaged and is not compacted until it is opened anew";
    logger.error({ partition: replica.name, err: error }, reason);
    replica.open?.onDamagedRead(error);
  }
}

async function backlogOf(
  log: SegmentedLog,
  nowMs: number,
  highWatermark: number,
): Promise<CompactionBacklog | undefined> {
  try {
    return await log.compactionBacklog(nowMs, highWatermark);
  } catch {
    // Its files were being closed or deleted; the next look tells.
    return undefined;
  }
}
