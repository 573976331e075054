import type { OttlaError } from "@ottla/errors";
import type { AssignedPartition } from "./assigned-partition.ts";
import type { ConsumedBatch } from "./consumed-batch.ts";

/**
 * What a partition has to hand out next: records, the news that its end is reached, or why it cannot go on.
 */
export interface Fetched {
  readonly assigned: AssignedPartition;
  /** The partition's version when it was fetched. */
  readonly version: number;
  readonly nextOffset: bigint;
  readonly caughtUp: boolean;
  readonly batch: ConsumedBatch | undefined;
  readonly error: OttlaError | undefined;
}

/**
 * What was fetched and not handed out yet: bounded in bytes, with one reader and
 * writers, one for each stream, that wait for each other.
 */
export class PrefetchQueue {
  readonly #limitBytes: number;
  #items: Fetched[] = [];
  #first = 0;
  #bytes = 0;
  #wakeReader: (() => void) | undefined;
  #waitingWriters: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(item: Fetched): void {
    this.#items.push(item);
    this.#bytes += item.batch?.sizeBytes ?? 0;
    this.wake();
  }

  take(): Fetched | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#first++;
    if (this.#first === this.#items.length || this.#first > 1024) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    this.#bytes -= item.batch?.sizeBytes ?? 0;
    this.#letWritersGoOn();
    return item;
  }

  /** Drops what is not wanted any more. */
  discard(unwanted: (item: Fetched) => boolean): void {
    this.#items = this.#items.slice(this.#first).filter((item) => !unwanted(item));
    this.#first = 0;
    this.#bytes = this.#items.reduce((sum, item) => sum + (item.batch?.sizeBytes ?? 0), 0);
    this.#letWritersGoOn();
  }

  /** Undefined when there is room, else resolves when there is. */
  room(): Promise<void> | undefined {
    if (this.#bytes < this.#limitBytes) return undefined;
    return new Promise((resolve) => {
      this.#waitingWriters.push(resolve);
    });
  }

  /** Resolves when something was pushed or `wake` was called. */
  arrival(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wakeReader;
      this.#wakeReader = () => {
        before?.();
        resolve();
      };
    });
  }

  wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  /** All of them: what one leaves free nobody would tell the others. Each adds one answer at most. */
  #letWritersGoOn(): void {
    if (this.#bytes >= this.#limitBytes) return;
    for (const wake of this.#waitingWriters.splice(0)) wake();
  }
}
