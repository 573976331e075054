import type { Clock, Timer } from "@ottla/runtime";
import type { ReplicationNode } from "./replication-node.ts";

export interface ReplicaTicksOptions {
  /** Knows the replicas that wait for time to pass. */
  readonly node: Pick<ReplicationNode, "ticked" | "restless">;
  readonly clock: Clock;
}

const RESTLESS_TICK_MS = 25;
/** How many of those ticks make one for all who need any. */
const TICKS_FOR_ALL = 20;

/**
 * Time for the replicas that need it, from one timer: members of the ISR that lag leave it, what was put
 * off is done. Replicas whose followers have everything are not looked at: many idle ones cost nothing.
 */
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
    const { restless, ticked } = this.#options.node;
    this.#count += 1;
    const isForAll = this.#count % TICKS_FOR_ALL === 0;
    for (const replica of isForAll ? ticked : restless) replica.onTick();
    for (const replica of restless) if (!replica.isRestless) restless.delete(replica);
    if (isForAll) for (const replica of ticked) if (!replica.needsTicks) ticked.delete(replica);
    this.#next();
  }
}
