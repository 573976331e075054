/** An offset that a group has committed, as it is in the log. */
export interface CommittedOffset {
  readonly offset: number;
  /** -1 when the committer did not know. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly committedAtMs: number;
  /** The committer said how long it is to be kept; -1 when it did not. */
  readonly expiresAtMs: number;
  /** Undefined where the record has none, as those of old Kafka. */
  readonly topicId: string | undefined;
}

export interface OffsetPlace {
  readonly topic: string;
  readonly partition: number;
}

interface Slot {
  /** What readers get: durable. */
  committed: CommittedOffset | undefined;
  /** Commits on their way to the log. */
  underWay: number;
}

/** The offsets of one group, by topic and partition. */
export class CommittedOffsets {
  readonly #topics = new Map<string, Map<number, Slot>>();

  /** Nothing is committed, and nothing is about to be. */
  get isEmpty(): boolean {
    return this.#topics.size === 0;
  }

  get(topic: string, partition: number): CommittedOffset | undefined {
    return this.#topics.get(topic)?.get(partition)?.committed;
  }

  /** How many commits are on their way to the log. */
  underWay(topic: string, partition: number): number {
    return this.#topics.get(topic)?.get(partition)?.underWay ?? 0;
  }

  /** Notes a commit that is on its way to the log: who removes offsets must know of it. */
  begin(topic: string, partition: number): void {
    this.#slot(topic, partition).underWay += 1;
  }

  /** The commit is durable. Commits end in the order in which they began. */
  end(topic: string, partition: number, committed: CommittedOffset): void {
    const slot = this.#slot(topic, partition);
    slot.underWay = Math.max(0, slot.underWay - 1);
    slot.committed = committed;
  }

  /** As read from the log. */
  put(topic: string, partition: number, committed: CommittedOffset): void {
    this.#slot(topic, partition).committed = committed;
  }

  /** Keeps the place of commits that are still under way. */
  remove(topic: string, partition: number): void {
    const partitions = this.#topics.get(topic);
    const slot = partitions?.get(partition);
    if (partitions === undefined || slot === undefined) return;
    if (slot.underWay > 0) {
      slot.committed = undefined;
      return;
    }
    partitions.delete(partition);
    if (partitions.size === 0) this.#topics.delete(topic);
  }

  /** All that readers get, in no order. */
  *committed(): Generator<OffsetPlace & { readonly committed: CommittedOffset }> {
    for (const [topic, partitions] of this.#topics) {
      for (const [partition, { committed }] of partitions) {
        if (committed !== undefined) yield { topic, partition, committed };
      }
    }
  }

  /** Every place that has an offset or is about to have one. */
  *places(): Generator<OffsetPlace> {
    for (const [topic, partitions] of this.#topics) {
      for (const partition of partitions.keys()) yield { topic, partition };
    }
  }

  has({ topic, partition }: OffsetPlace): boolean {
    return this.#topics.get(topic)?.has(partition) ?? false;
  }

  #slot(topic: string, partition: number): Slot {
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) {
      partitions = new Map();
      this.#topics.set(topic, partitions);
    }
    let slot = partitions.get(partition);
    if (slot === undefined) {
      slot = { committed: undefined, underWay: 0 };
      partitions.set(partition, slot);
    }
    return slot;
  }
}
