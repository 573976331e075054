import { toOttlaError } from "@ottla/errors";
import type { DiskSpaceGuard } from "@ottla/log";
import type { Clock, Logger, Timer } from "@ottla/runtime";
import type { PartitionReplica } from "./partition-replica.ts";
import type { PartitionStore } from "./partition-store.ts";

export interface UpkeepOptions {
  readonly store: Pick<PartitionStore, "replicas" | "onRetentionChange">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retentionCheckIntervalMs: number;
  readonly checkpointIntervalMs: number;
  readonly spaceGuard: Pick<DiskSpaceGuard, "isFull" | "onFull">;
}

interface Failure {
  readonly partition: string;
  readonly reason: string;
}

/** How often retention is looked at while the disk is full: what is due then should not keep it so. */
const FULL_CHECK_INTERVAL_MS = 10_000;

/**
 * What is done now and then for every partition: retention, and a checkpoint of the high watermark.
 * Retention does not wait for its time when the disk is full or a topic's settings change.
 */
export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #timers = new Set<Timer>();
  readonly #changed = new Set<PartitionReplica>();
  readonly #unsubscribe: () => void;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    const { retentionCheckIntervalMs, checkpointIntervalMs, spaceGuard, store } = options;
    this.#repeat(retentionCheckIntervalMs, () => this.#runRetention(store.replicas()));
    this.#repeat(FULL_CHECK_INTERVAL_MS, () => this.#runRetentionWhenFull());
    this.#repeat(checkpointIntervalMs, () => this.#checkpoint());
    this.#unsubscribe = spaceGuard.onFull(() => this.#runNow(() => this.#runRetentionWhenFull()));
    store.onRetentionChange((replica) => this.#noteChanged(replica));
    if (spaceGuard.isFull) this.#runNow(() => this.#runRetentionWhenFull());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    await this.#running;
  }

  /** One partition after another: upkeep is in no hurry, and the disk has other work. */
  #repeat(intervalMs: number, task: () => Promise<void>): void {
    const timer = this.#options.clock.setTimer(
      intervalMs,
      () => {
        this.#timers.delete(timer);
        this.#runNow(async () => {
          await task();
          if (!this.#stopped) this.#repeat(intervalMs, task);
        });
      },
      { background: true },
    );
    this.#timers.add(timer);
  }

  #runNow(task: () => Promise<void>): void {
    if (!this.#stopped) this.#running = this.#running.then(task);
  }

  #noteChanged(replica: PartitionReplica): void {
    this.#changed.add(replica);
    if (this.#changed.size > 1) return;
    this.#runNow(async () => {
      const changed = [...this.#changed];
      this.#changed.clear();
      await this.#runRetention(changed);
    });
  }

  async #runRetentionWhenFull(): Promise<void> {
    const { spaceGuard, store } = this.#options;
    if (spaceGuard.isFull) await this.#runRetention(store.replicas());
  }

  async #runRetention(replicas: Iterable<PartitionReplica>): Promise<void> {
    const { clock, logger, spaceGuard } = this.#options;
    const failures: Failure[] = [];
    for (const { log, leader, name, open } of replicas) {
      // Followers delete what their leader has deleted.
      if (this.#stopped || log === undefined || leader === undefined) continue;
      try {
        const deletedSegments = await log.runRetention(clock.now(), leader.highWatermark, spaceGuard.isFull);
        if (deletedSegments > 0) open?.onLogStartMoved();
        if (deletedSegments > 0)
          logger.info({ partition: name, deletedSegments }, "retention deleted segments");
      } catch (thrown) {
        failures.push({ partition: name, reason: toOttlaError(thrown).message });
      }
    }
    this.#warn(failures, "retention failed, will try again");
  }

  async #checkpoint(): Promise<void> {
    const { store } = this.#options;
    const failures: Failure[] = [];
    for (const { log, open, name } of store.replicas()) {
      if (this.#stopped || log === undefined || open === undefined) continue;
      if (log.checkpointedHighWatermark === open.highWatermark) continue;
      await log.checkpoint(open.highWatermark).catch((thrown: unknown) => {
        failures.push({ partition: name, reason: toOttlaError(thrown).message });
      });
    }
    this.#warn(failures, "a checkpoint failed, will try again");
  }

  /** One line for a round, however many partitions have the same trouble. */
  #warn(failures: readonly Failure[], message: string): void {
    const [first] = failures;
    if (first !== undefined) this.#options.logger.warn({ ...first, failures: failures.length }, message);
  }
}
