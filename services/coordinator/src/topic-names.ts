import { type ClusterTopic, type ClusterView, topicNameCollisionKey } from "@ottla/metadata";

/**
 * The names that are taken: of topics being created and live. Kept up to date from the view, since a scan of
 * all topics for each creation would make creating many slow.
 */
export class TopicNames {
  readonly #view: ClusterView;
  readonly #idByName = new Map<string, string>();
  readonly #nameById = new Map<string, string>();
  /** How the names of one collision key are spelled. */
  readonly #namesByKey = new Map<string, Set<string>>();
  readonly #stop: () => void;

  constructor(view: ClusterView) {
    this.#view = view;
    for (const topic of view.topics()) this.#update(topic.topicId);
    this.#stop = view.onChange((change) => {
      for (const topicId of change.topicIds) this.#update(topicId);
    });
  }

  find(name: string): ClusterTopic | undefined {
    const topicId = this.#idByName.get(name);
    return topicId === undefined ? undefined : this.#view.topicById(topicId);
  }

  /** A taken name that differs from this one only in "." and "_". */
  findCollision(name: string): string | undefined {
    for (const other of this.#namesByKey.get(topicNameCollisionKey(name)) ?? []) {
      if (other !== name) return other;
    }
    return undefined;
  }

  close(): void {
    this.#stop();
  }

  #update(topicId: string): void {
    this.#forget(topicId);
    const topic = this.#view.topicById(topicId);
    if (topic === undefined || topic.phase === "deleting" || topic.phase === "deleted") return;
    const { name } = topic;
    this.#idByName.set(name, topicId);
    this.#nameById.set(topicId, name);
    const key = topicNameCollisionKey(name);
    const names = this.#namesByKey.get(key);
    if (names === undefined) this.#namesByKey.set(key, new Set([name]));
    else names.add(name);
  }

  #forget(topicId: string): void {
    const name = this.#nameById.get(topicId);
    if (name === undefined) return;
    this.#nameById.delete(topicId);
    // The name may belong to a newer topic already.
    if (this.#idByName.get(name) !== topicId) return;
    this.#idByName.delete(name);
    const key = topicNameCollisionKey(name);
    const names = this.#namesByKey.get(key);
    names?.delete(name);
    if (names?.size === 0) this.#namesByKey.delete(key);
  }
}
