import { partitionForKey } from "@ottla/records";
import type { Random } from "@ottla/runtime";

/**
 * Chooses partitions for one topic as Kafka's Java client does: records with a key by murmur2 of the
 * key; records without one all to one partition until its batch closes, then to another (sticky
 * partitioning, KIP-480). Many small batches on all partitions would cost more than a few full ones.
 */
export class Partitioner {
  readonly #random: Random;
  #partitionCount: number;
  #sticky: number;

  constructor(partitionCount: number, random: Random) {
    this.#partitionCount = partitionCount;
    this.#random = random;
    this.#sticky = random.integer(partitionCount);
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  /** Partitions only ever grow in number; keys go elsewhere from then on. */
  setPartitionCount(count: number): void {
    this.#partitionCount = count;
    if (this.#sticky >= count) this.#sticky = this.#random.integer(count);
  }

  partitionFor(key: Uint8Array | null): number {
    return key === null ? this.#sticky : partitionForKey(key, this.#partitionCount);
  }

  /** A batch of this partition closed: if records without a key went there, the next ones go to another. */
  batchClosed(partition: number): void {
    if (partition !== this.#sticky || this.#partitionCount === 1) return;
    const other = this.#random.integer(this.#partitionCount - 1);
    this.#sticky = other < partition ? other : other + 1;
  }
}
