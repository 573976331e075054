import type { Clock, ReadBuffers, Timer } from "@ottla/runtime";

/** What was read, as `SegmentedLog.read` gives it. */
interface Read {
  readonly chunks: readonly Uint8Array[];
  readonly nextOffset: number;
  readonly sizeBytes: number;
}

/** What a read asks for, and which log it means: a truncation makes another of it. */
interface Wanted {
  readonly offset: number;
  readonly maxBytes: number;
  readonly endOffset: number;
  readonly generation: number;
}

/** Larger reads are not expected: they are few, and their bytes many. */
const MAX_READ_BYTES = 2 * 1024 * 1024;
/** Who has not come for it by then does not read on. */
const STALE_MS = 1_000;
/** Readers of one log whose next read may be known. */
const MAX_READERS = 16;

interface Entry extends Wanted {
  readonly owner: ReadAhead;
  readonly begunAtMs: number;
  readonly read: Promise<Read | undefined>;
}

/**
 * What all logs of a node have read ahead, within one number of bytes; what nobody comes for is dropped soon.
 */
export class ReadAheadBudget {
  readonly clock: Clock;
  readonly buffers: ReadBuffers;
  readonly #maxBytes: number;
  readonly #entries = new Set<Entry>();
  #takenBytes = 0;
  #sweep: Timer | undefined;

  constructor(options: { readonly clock: Clock; readonly buffers: ReadBuffers; readonly maxBytes: number }) {
    this.clock = options.clock;
    this.buffers = options.buffers;
    this.#maxBytes = options.maxBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /**
   * Called by `ReadAhead` only. With more readers than room the first keep it: taking turns would serve none.
   */
  hasRoom(maxBytes: number): boolean {
    return this.#takenBytes + maxBytes <= this.#maxBytes;
  }

  /** Called by `ReadAhead` only. */
  add(entry: Entry): void {
    this.#entries.add(entry);
    this.#takenBytes += entry.maxBytes;
    this.#sweepLater();
  }

  /** Called by `ReadAhead` only. */
  remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#takenBytes -= entry.maxBytes;
    if (this.#entries.size > 0) return;
    this.#sweep?.cancel();
    this.#sweep = undefined;
  }

  #sweepLater(): void {
    this.#sweep ??= this.clock.setTimer(STALE_MS, () => this.#dropStale(), { background: true });
  }

  #dropStale(): void {
    this.#sweep = undefined;
    const staleBeforeMs = this.clock.monotonic() - STALE_MS;
    for (const entry of this.#entries) {
      if (entry.begunAtMs > staleBeforeMs) break;
      entry.owner.drop(entry);
    }
    if (this.#entries.size > 0) this.#sweepLater();
  }
}

/**
 * Reads from one log's disk what its readers will ask for next: reading and checking
 * (R12) then run while the bytes before are on their way to the reader. A reader that
 * goes on in order, with the same limit, is expected to do so again.
 */
export class ReadAhead {
  readonly #budget: ReadAheadBudget;
  readonly #entries = new Map<number, Entry>();
  /** Where readers ended, and with which limit. */
  readonly #readers = new Map<number, number>();
  #isClosed = false;

  constructor(budget: ReadAheadBudget) {
    this.#budget = budget;
  }

  /**
   * What was read ahead for this very read, which is the caller's own from now on;
   * undefined where it has to read for itself.
   */
  async take(wanted: Wanted): Promise<Read | undefined> {
    const entry = this.#entries.get(wanted.offset);
    if (entry === undefined) return undefined;
    this.#remove(entry);
    const read = await entry.read;
    if (read === undefined) return undefined;
    // The end of what could be seen has moved since: there may be more now.
    const isCut = read.nextOffset === entry.endOffset && wanted.endOffset > entry.endOffset;
    const { generation, maxBytes } = entry;
    const isSame = generation === wanted.generation && maxBytes === wanted.maxBytes;
    if (isSame && !isCut && read.nextOffset <= wanted.endOffset && read.chunks.length > 0) return read;
    this.#giveBack(read);
    return undefined;
  }

  /**
   * Notes that a reader got `next.offset` as its next one; `begin` reads on from there,
   * if that is to be expected.
   */
  expect(offset: number, next: Wanted, begin: () => Promise<Read>): void {
    if (this.#isClosed) return;
    const goesOn = this.#readers.get(offset) === next.maxBytes;
    this.#readers.delete(offset);
    this.#readers.delete(next.offset);
    this.#readers.set(next.offset, next.maxBytes);
    if (this.#readers.size > MAX_READERS) {
      for (const oldest of this.#readers.keys()) {
        this.#readers.delete(oldest);
        break;
      }
    }
    if (!goesOn || next.offset >= next.endOffset || next.maxBytes > MAX_READ_BYTES) return;
    if (this.#entries.has(next.offset) || !this.#budget.hasRoom(next.maxBytes)) return;
    // Where it fails, the reader that comes for it finds out for itself.
    const read = begin().catch(() => undefined);
    const entry = { ...next, owner: this, begunAtMs: this.#budget.clock.monotonic(), read };
    this.#entries.set(next.offset, entry);
    this.#budget.add(entry);
  }

  drop(entry: Entry): void {
    this.#remove(entry);
    void entry.read.then((read) => read && this.#giveBack(read));
  }

  /** Drops all and reads no more: the log is closed. */
  close(): void {
    this.#isClosed = true;
    for (const entry of this.#entries.values()) this.drop(entry);
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.offset);
    this.#budget.remove(entry);
  }

  #giveBack({ chunks }: Read): void {
    for (const chunk of chunks) this.#budget.buffers.giveBack(chunk);
  }
}
