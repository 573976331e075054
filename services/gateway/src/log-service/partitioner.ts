import { partitionForKey, type RecordInput } from "@ottla/records";
import type { Random } from "@ottla/runtime";

/**
 * Spreads records over partitions: those with a key by murmur2 of the key, as Kafka's Java
 * client does; those without go together to one partition, another one for each append.
 */
export class Partitioner {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The records of each partition that gets any, in their order. */
  partition(records: readonly RecordInput[], partitionCount: number): Map<number, RecordInput[]> {
    const byPartition = new Map<number, RecordInput[]>();
    let keyless = -1;
    for (const record of records) {
      let partition: number;
      if (record.key === null) {
        if (keyless < 0) keyless = this.#random.integer(partitionCount);
        partition = keyless;
      } else {
        partition = partitionForKey(record.key, partitionCount);
      }
      const mine = byPartition.get(partition);
      if (mine === undefined) byPartition.set(partition, [record]);
      else mine.push(record);
    }
    return byPartition;
  }
}
