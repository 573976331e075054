import type { ClusterPartition, ClusterView, Revision } from "@ottla/metadata";

interface Written {
  /** Undefined: deleted. */
  readonly state: ClusterPartition | undefined;
  readonly revision: Revision;
}

/**
 * The partitions as this coordinator knows them to be: the view, and over it what was written and the view
 * does not show yet. So one change can follow another without waiting for the watch.
 */
export class LatestPartitions {
  readonly #view: ClusterView;
  /** By key, in the order of the writes; let go when the view has them. */
  readonly #written = new Map<string, Written>();

  constructor(view: ClusterView) {
    this.#view = view;
  }

  get(topicId: string, partition: number): ClusterPartition | undefined {
    const written = this.#written.get(this.#view.keys.partition(topicId, partition));
    if (written !== undefined && written.revision > this.#view.revision) return written.state;
    return this.#view.partition(topicId, partition);
  }

  /** All that the view shows, each in its latest state, in no order. */
  *all(): Generator<ClusterPartition> {
    for (const { topicId, partition } of this.#view.partitions()) {
      const latest = this.get(topicId, partition);
      if (latest !== undefined) yield latest;
    }
  }

  put(state: ClusterPartition): void {
    this.#keep(state.topicId, state.partition, { state, revision: state.modRevision });
  }

  delete(topicId: string, partition: number, revision: Revision): void {
    this.#keep(topicId, partition, { state: undefined, revision });
  }

  #keep(topicId: string, partition: number, written: Written): void {
    const key = this.#view.keys.partition(topicId, partition);
    this.#written.delete(key);
    this.#written.set(key, written);
    for (const [oldest, { revision }] of this.#written) {
      if (revision > this.#view.revision) return;
      this.#written.delete(oldest);
    }
  }
}
