import type { OttlaError } from "@ottla/errors";
import { Fifo } from "./fifo.ts";

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: OttlaError): void;
}

interface Entry<Raw> {
  readonly raw: Raw;
  readonly sizeBytes: number;
}

export interface ReceiveQueueOptions<Raw, T> {
  /** Turns what arrived into a message when it is read; what it throws fails the stream for the reader. */
  readonly decode: (raw: Raw) => T;
  /** Called when a message was taken out, with its size: the transport may read on. */
  readonly onRead: (sizeBytes: number) => void;
  /** The reader left its loop before the end. */
  readonly onAbandoned: () => void;
}

/**
 * Messages that arrived and wait for their reader. It does not limit itself: the
 * transport stops reading from the peer by `unreadBytes`. Messages that came before a
 * failure are still delivered, unless it was `discard`.
 */
export class ReceiveQueue<Raw, T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: ReceiveQueueOptions<Raw, T>;
  readonly #entries = new Fifo<Entry<Raw>>();
  readonly #waiters = new Fifo<Waiter<T>>();
  #unreadBytes = 0;
  #ended = false;
  #failure: OttlaError | undefined;
  #abandoned = false;

  constructor(options: ReceiveQueueOptions<Raw, T>) {
    this.#options = options;
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  get finished(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** Whether the peer's end was reached and everything before it was read. */
  get exhausted(): boolean {
    return this.#ended && this.#entries.length === 0;
  }

  push(raw: Raw, sizeBytes: number): void {
    if (this.finished) return;
    if (this.#abandoned) {
      this.#options.onRead(sizeBytes);
      return;
    }
    this.#entries.push({ raw, sizeBytes });
    this.#unreadBytes += sizeBytes;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) this.#take(waiter);
  }

  end(): void {
    if (this.finished) return;
    this.#ended = true;
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.resolve({ done: true, value: undefined });
    }
  }

  fail(error: OttlaError): void {
    if (this.finished) return;
    this.#failure = error;
    this.#rejectWaiters(error);
  }

  /** Fails at once: what was not read is dropped. */
  discard(error: OttlaError): void {
    this.#entries.clear();
    this.#unreadBytes = 0;
    this.#ended = false;
    this.#failure ??= error;
    this.#rejectWaiters(error);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      if (this.#entries.length > 0) this.#take(waiter);
      else if (this.#failure !== undefined) reject(this.#failure);
      else if (this.#ended || this.#abandoned) resolve({ done: true, value: undefined });
      else this.#waiters.push(waiter);
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#abandoned) {
      this.#abandoned = true;
      const bytes = this.#unreadBytes;
      this.#entries.clear();
      this.#unreadBytes = 0;
      if (!this.finished) this.#options.onAbandoned();
      if (bytes > 0) this.#options.onRead(bytes);
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #rejectWaiters(error: OttlaError): void {
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) {
      waiter.reject(error);
    }
  }

  #take(waiter: Waiter<T>): void {
    const entry = this.#entries.shift();
    if (entry === undefined) return;
    this.#unreadBytes -= entry.sizeBytes;
    try {
      waiter.resolve({ done: false, value: this.#options.decode(entry.raw) });
    } catch (error) {
      waiter.reject(error as OttlaError);
    }
    this.#options.onRead(entry.sizeBytes);
  }
}
