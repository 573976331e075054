import { OttlaError } from "@ottla/errors";
import type { PartitionReader, ReaderItem } from "./partition-reader.ts";

export interface ReadQueueOptions {
  readonly maxBufferedBytes: number;
  /** How much one fetch may bring. */
  readonly maxFetchBytes: number;
  readonly signal: AbortSignal;
}

/** One partition's items that may wait for the client: the one being sent and the next. */
const MAX_ITEMS_PER_READER = 2;

/**
 * What waits for one client of `Read`, in the order it came, so that partitions take
 * turns. Readers fetch while there is room for what they may bring. Those that have
 * caught up wait at the leader without a reservation, because most of them bring little;
 * what arrives when there is no room is refused and its reader pauses.
 */
export class ReadQueue {
  readonly #options: ReadQueueOptions;
  readonly #items: ReaderItem[] = [];
  readonly #held = new Map<PartitionReader, number>();
  readonly #reserved = new Set<PartitionReader>();
  #paused: PartitionReader[] = [];
  #bufferedBytes = 0;
  #wake: (() => void) | undefined;

  constructor(options: ReadQueueOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  add(reader: PartitionReader): void {
    this.#held.set(reader, 0);
    this.#paused.push(reader);
    this.#resume();
  }

  /** Takes an item that a reader has fetched; false when there is no room for it. */
  offer(item: ReaderItem): boolean {
    const sizeBytes = sizeOf(item);
    const { reader } = item;
    const { maxBufferedBytes } = this.#options;
    this.#reserved.delete(reader);
    if (this.#bufferedBytes > 0 && this.#bufferedBytes + sizeBytes > maxBufferedBytes) {
      this.#paused.push(reader);
      return false;
    }
    this.#bufferedBytes += sizeBytes;
    this.#held.set(reader, (this.#held.get(reader) ?? 0) + 1);
    this.#items.push(item);
    if (!reader.ended) {
      this.#paused.push(reader);
      this.#resume();
    }
    this.#wake?.();
    return true;
  }

  /** The next item to send; undefined when the client has gone or no partition can go on. */
  async next(): Promise<ReaderItem | undefined> {
    for (;;) {
      if (this.#options.signal.aborted) return undefined;
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#held.size === 0) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** The item was sent: its bytes are free again. */
  done(item: ReaderItem): void {
    this.#bufferedBytes -= sizeOf(item);
    const { reader } = item;
    const held = (this.#held.get(reader) ?? 1) - 1;
    if (reader.ended && held === 0) this.#held.delete(reader);
    else this.#held.set(reader, held);
    this.#resume();
  }

  /**
   * Starts the fetches of paused readers, the longest paused first, while there is room for what they bring.
   */
  #resume(): void {
    const { maxFetchBytes } = this.#options;
    const paused = this.#paused;
    this.#paused = [];
    for (const reader of paused) {
      if (!this.#hasRoom() || (this.#held.get(reader) ?? 0) >= MAX_ITEMS_PER_READER) {
        this.#paused.push(reader);
        continue;
      }
      if (!reader.caughtUp) this.#reserved.add(reader);
      reader.fetch(maxFetchBytes);
    }
  }

  #hasRoom(): boolean {
    const { maxFetchBytes, maxBufferedBytes } = this.#options;
    const expectedBytes = this.#bufferedBytes + this.#reserved.size * maxFetchBytes;
    return expectedBytes === 0 || expectedBytes + maxFetchBytes <= maxBufferedBytes;
  }
}

function sizeOf({ outcome }: ReaderItem): number {
  return outcome instanceof OttlaError ? 0 : outcome.sizeBytes;
}
