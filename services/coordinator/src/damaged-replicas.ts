import type { ClusterView, PartitionRef } from "@ottla/metadata";

/**
 * Replicas that have reported lost records (R12): not even an unclean election takes them, since they would
 * only resign again. Forgotten when the node registers anew: it reports again if it must.
 */
export class DamagedReplicas {
  readonly #view: ClusterView;
  /** The nodeEpochs of the reports, by partition and node: not more than there are replicas. */
  readonly #reports = new Map<string, number>();

  constructor(view: ClusterView) {
    this.#view = view;
  }

  add(ref: PartitionRef, nodeId: number, nodeEpoch: number): void {
    this.#reports.set(keyOf(ref, nodeId), nodeEpoch);
  }

  has(ref: PartitionRef, nodeId: number): boolean {
    const key = keyOf(ref, nodeId);
    const nodeEpoch = this.#reports.get(key);
    if (nodeEpoch === undefined) return false;
    if (this.#view.node("partition-storage", nodeId)?.nodeEpoch === nodeEpoch) return true;
    this.#reports.delete(key);
    return false;
  }

  /** The replica is in sync again. */
  delete(ref: PartitionRef, nodeId: number): void {
    this.#reports.delete(keyOf(ref, nodeId));
  }
}

function keyOf({ topicId, partition }: PartitionRef, nodeId: number): string {
  return `${topicId}/${partition}/${nodeId}`;
}
