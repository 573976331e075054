import type { ConsumedBatch } from "./consumed-batch.ts";

/** One partition while the member has it. */
export interface HeldPartition {
  readonly topic: string;
  readonly partition: number;
  /** Below it everything is done with. */
  acknowledged: bigint;
  /** Below it everything has been handed out. */
  handedOut: bigint;
  /** No more records come; it is given up when what is in hand is done with. */
  isRevoked: boolean;
}

/** The partitions that a member has, and what has come of them and was not handed out. */
export class GroupPartitions {
  readonly #held = new Map<string, HeldPartition>();
  #batches: ConsumedBatch[] = [];
  /** Acknowledged, and not told to the server yet. */
  readonly #untold = new Map<string, HeldPartition>();

  assign(topic: string, partition: number, nextOffset: bigint): void {
    this.#held.set(keyOf(topic, partition), {
      topic,
      partition,
      acknowledged: nextOffset,
      handedOut: nextOffset,
      isRevoked: false,
    });
  }

  all(): HeldPartition[] {
    return [...this.#held.values()];
  }

  find(topic: string, partition: number): HeldPartition | undefined {
    return this.#held.get(keyOf(topic, partition));
  }

  /** What was not handed out is somebody else's; returns whether nothing is in hand either. */
  revoke(topic: string, partition: number): boolean {
    const held = this.find(topic, partition);
    this.#batches = this.#batches.filter((batch) => batch.topic !== topic || batch.partition !== partition);
    if (held === undefined) return true;
    held.isRevoked = true;
    return held.acknowledged >= held.handedOut;
  }

  drop(topic: string, partition: number): void {
    this.#held.delete(keyOf(topic, partition));
    this.#untold.delete(keyOf(topic, partition));
  }

  /** The connection is gone, and with it the membership. */
  clear(): HeldPartition[] {
    const held = this.all();
    this.#held.clear();
    this.#untold.clear();
    this.#batches = [];
    return held;
  }

  push(batch: ConsumedBatch): void {
    if (this.find(batch.topic, batch.partition)?.isRevoked === false) this.#batches.push(batch);
  }

  take(): ConsumedBatch | undefined {
    return this.#batches.shift();
  }

  /** Says whether that is new. */
  acknowledge(topic: string, partition: number, nextOffset: bigint): boolean {
    const held = this.find(topic, partition);
    if (held === undefined || nextOffset <= held.acknowledged) return false;
    held.acknowledged = nextOffset;
    this.#untold.set(keyOf(topic, partition), held);
    return true;
  }

  /** What is to be told now. */
  takeUntold(): HeldPartition[] {
    const untold = [...this.#untold.values()];
    this.#untold.clear();
    return untold;
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
