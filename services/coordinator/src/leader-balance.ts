import type { ClusterPartition } from "@ottla/metadata";
import { changedState, withPreferredLeader } from "./partition-leadership.ts";
import { failUnlessWritten, type PartitionDecision, type PartitionWriter } from "./partition-writer.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

/**
 * Gives partitions back to their preferred leaders once those have been in sync for a while: after a node
 * came back, the work is spread again. A few at a time, since each move is a short pause for its clients.
 */
export class LeaderBalance {
  readonly #term: Term;
  readonly #nodes: StorageNodes;
  readonly #partitions: PartitionWriter;
  /** Since when the preferred leader of a partition could lead it and does not. */
  #waiting = new Map<string, number>();

  constructor(term: Term, nodes: StorageNodes, partitions: PartitionWriter) {
    this.#term = term;
    this.#nodes = nodes;
    this.#partitions = partitions;
  }

  /** One step; returns after how many milliseconds the next one is due, undefined when nothing waits. */
  async step(): Promise<number | undefined> {
    const { view, limits, clock, logger } = this.#term;
    if (view.isBalancingPaused) {
      this.#waiting.clear();
      return undefined;
    }
    const nowMs = clock.monotonic();
    const due: ClusterPartition[] = [];
    const waiting = new Map<string, number>();
    let nextMs: number | undefined;
    for (const state of this.#partitions.latest.all()) {
      if (state.leader === state.replicas[0] || this.#decide(state) === undefined) continue;
      const key = view.keys.partition(state.topicId, state.partition);
      const sinceMs = this.#waiting.get(key) ?? nowMs;
      waiting.set(key, sinceMs);
      const leftMs = sinceMs + limits.preferredLeaderDelayMs - nowMs;
      if (leftMs <= 0) due.push(state);
      nextMs = Math.min(nextMs ?? leftMs, leftMs);
    }
    this.#waiting = waiting;
    const moved = due.slice(0, limits.preferredLeadersPerStep);
    const decide = (state: ClusterPartition): PartitionDecision => this.#decide(state);
    const changes = moved.map(({ topicId, partition }) => ({ topicId, partition, decide }));
    failUnlessWritten(await this.#partitions.apply(changes));
    if (moved.length > 0) logger.info({ partitions: moved.length }, "gave partitions to preferred leaders");
    return nextMs === undefined ? undefined : Math.max(nextMs, limits.preferredLeaderStepMs);
  }

  #decide(state: ClusterPartition): PartitionDecision {
    const [preferred = -1] = state.replicas;
    if (this.#nodes.isGoing(state.topicId) || this.#nodes.isEmptied(preferred)) return undefined;
    const after = changedState(state, withPreferredLeader(state, this.#nodes.electable));
    return after === undefined ? undefined : { kind: "put", state: after };
  }
}
