import type { Clock, Timer } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";

export interface ReplicaTicksOptions {
  readonly store: Pick<PartitionStore, "replicas">;
  readonly clock: Clock;
  readonly intervalMs: number;
}

/** Those who wait to ask their leader again are looked at this much more often. */
const RESTLESS_RATIO = 10;

/** Time for all replicas, from one timer: members of the ISR that lag leave it, what was put off is done. */
export class ReplicaTicks {
  readonly #options: ReplicaTicksOptions;
  #timer: Timer | undefined;
  #count = 0;

  constructor(options: ReplicaTicksOptions) {
    this.#options = options;
    this.#next();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #next(): void {
    const { clock, intervalMs } = this.#options;
    this.#timer = clock.setTimer(intervalMs / RESTLESS_RATIO, () => this.#tick(), { background: true });
  }

  #tick(): void {
    this.#count += 1;
    const isForAll = this.#count % RESTLESS_RATIO === 0;
    for (const { open } of this.#options.store.replicas()) {
      if (open !== undefined && (isForAll || open.isRestless)) open.onTick();
    }
    this.#next();
  }
}
