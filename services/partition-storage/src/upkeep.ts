import { toOttlaError } from "@ottla/errors";
import type { Clock, Logger, Timer } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";

export interface UpkeepOptions {
  readonly store: PartitionStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retentionCheckIntervalMs: number;
  readonly checkpointIntervalMs: number;
}

/** What is done now and then for every partition: retention, and a checkpoint of the high watermark. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #timers = new Set<Timer>();
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    const { retentionCheckIntervalMs, checkpointIntervalMs } = options;
    this.#repeat(retentionCheckIntervalMs, () => this.#runRetention());
    this.#repeat(checkpointIntervalMs, () => this.#checkpoint());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
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
        this.#running = this.#running.then(task).then(() => {
          if (!this.#stopped) this.#repeat(intervalMs, task);
        });
      },
      { background: true },
    );
    this.#timers.add(timer);
  }

  async #runRetention(): Promise<void> {
    const { store, clock, logger } = this.#options;
    for (const replica of store.replicas()) {
      const { log, leader, name } = replica;
      if (this.#stopped || log === undefined || leader === undefined) continue;
      try {
        const deletedSegments = await log.runRetention(clock.now(), leader.highWatermark);
        if (deletedSegments > 0)
          logger.info({ partition: name, deletedSegments }, "retention deleted segments");
      } catch (thrown) {
        logger.warn({ partition: name, err: toOttlaError(thrown) }, "retention failed, will try again");
      }
    }
  }

  async #checkpoint(): Promise<void> {
    const { store, logger } = this.#options;
    for (const { log, leader, name } of store.replicas()) {
      if (this.#stopped || log === undefined || leader === undefined) continue;
      if (log.checkpointedHighWatermark === leader.highWatermark) continue;
      await log.checkpoint(leader.highWatermark).catch((thrown: unknown) => {
        logger.warn({ partition: name, err: toOttlaError(thrown) }, "a checkpoint failed, will try again");
      });
    }
  }
}
