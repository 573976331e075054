import type { ClusterView } from "@ottla/metadata";
import type { PartitionStore } from "./partition-store.ts";
import type { ReplicationNode } from "./replication-node.ts";

export interface ReplicaReadinessOptions {
  readonly view: ClusterView;
  readonly node: ReplicationNode;
  readonly store: Pick<PartitionStore, "replicas">;
}

/**
 * Whether the node's replicas are back in sync after a start: a rolling restart goes on to the next node
 * only then. Once they are it stays so, since what happens later is for the metrics: the node must remain
 * reachable.
 */
export class ReplicaReadiness {
  readonly #options: ReplicaReadinessOptions;
  #hasCaughtUp = false;

  constructor(options: ReplicaReadinessOptions) {
    this.#options = options;
  }

  notReady(): string | undefined {
    if (this.#hasCaughtUp) return undefined;
    const count = this.#countOutOfSync();
    if (count > 0) return `${count} replicas are not in sync yet`;
    this.#hasCaughtUp = true;
    return undefined;
  }

  #countOutOfSync(): number {
    const { node, store, view } = this.#options;
    let count = 0;
    for (const { topicId, partition } of store.replicas()) {
      const state = view.partition(topicId, partition);
      if (state === undefined || view.topicById(topicId)?.phase !== "live") continue;
      // Without a leader nobody can catch up, and one that moves here may take as long as it needs.
      const hasLeader = node.nodes.get(state.leader) === state.leaderNodeEpoch;
      const isMoving = state.addingReplicas?.includes(node.nodeId) === true;
      if (hasLeader && !isMoving && !state.isr.includes(node.nodeId)) count += 1;
    }
    return count;
  }
}
