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

/** A batch on its way to who works on it. */
export interface TakenBatch {
  readonly batch: ConsumedBatch;
  /** As it was when the batch came: a partition that went and came back is another one. */
  readonly held: HeldPartition;
  /** Handed out to its end. */
  isRead: boolean;
}

/** The partitions that a member has, and what has come of them and was not handed out. */
export class GroupPartitions {
  readonly #held = new Map<string, HeldPartition>();
  #batches: TakenBatch[] = [];
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
    this.#batches = this.#batches.filter((waiting) => waiting.held !== held);
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
    const held = this.find(batch.topic, batch.partition);
    if (held?.isRevoked === false) this.#batches.push({ batch, held, isRead: false });
  }

  take(): TakenBatch | undefined {
    return this.#batches.shift();
  }

  /** Whether the partition is still the member's, and was all the time. */
  isPresent(held: HeldPartition): boolean {
    return !held.isRevoked && this.find(held.topic, held.partition) === held;
  }

  /**
   * Batches, in their order, of which some were not handed out to their end: the rest of them comes
   * next, as what comes after it would acknowledge it. `again`: what was handed out and not
   * acknowledged comes once more.
   */
  giveBack(taken: readonly TakenBatch[], again: boolean): void {
    const rest = taken.filter(({ held, isRead }) => !isRead && this.isPresent(held));
    if (again) for (const { held } of rest) held.handedOut = held.acknowledged;
    this.#batches.unshift(
      ...rest.map(({ batch, held }) => ({ batch: batch.from(held.handedOut), held, isRead: false })),
    );
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
