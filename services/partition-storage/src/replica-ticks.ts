import type { Clock, Timer } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";
import type { RestlessReplica } from "./replication-node.ts";

export interface ReplicaTicksOptions {
  readonly store: Pick<PartitionStore, "replicas">;
  /** Those who wait to ask again. */
  readonly restless: Set<RestlessReplica>;
  readonly clock: Clock;
}

const RESTLESS_TICK_MS = 25;
/** How many of those ticks make one for all replicas. */
const TICKS_FOR_ALL = 20;

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
    this.#timer = this.#options.clock.setTimer(RESTLESS_TICK_MS, () => this.#tick(), { background: true });
  }

  #tick(): void {
    const { restless, store } = this.#options;
    this.#count += 1;
    if (this.#count % TICKS_FOR_ALL === 0) {
      for (const { open } of store.replicas()) open?.onTick();
    } else {
      for (const replica of restless) replica.onTick();
    }
    for (const replica of restless) if (!replica.isRestless) restless.delete(replica);
    this.#next();
  }
}
