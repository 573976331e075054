import type { OttlaError } from "@ottla/errors";

/** What a queued message costs beside its bytes: so that empty ones cannot queue without limit either. */
const MESSAGE_OVERHEAD_BYTES = 64;

/** What a message of that size counts in a bounded queue. */
export function queuedBytes(sizeBytes: number): number {
  return sizeBytes + MESSAGE_OVERHEAD_BYTES;
}

interface Waiter {
  resolve(): void;
  reject(error: OttlaError): void;
}

/**
 * Counts the bytes that were sent and have not left yet. Above the limit the sender is told to
 * wait; it goes on when half of the limit is free again, so that it is not woken for every message.
 */
export class SendBudget {
  readonly #limitBytes: number;
  #unsentBytes = 0;
  #failure: OttlaError | undefined;
  #waiters: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  get hasRoom(): boolean {
    return this.#failure === undefined && this.#unsentBytes < this.#limitBytes;
  }

  add(sizeBytes: number): boolean {
    this.#unsentBytes += sizeBytes;
    return this.hasRoom;
  }

  remove(sizeBytes: number): void {
    this.#unsentBytes -= sizeBytes;
    if (this.#waiters.length === 0 || this.#unsentBytes > this.#limitBytes / 2) return;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  fail(error: OttlaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  drained(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.hasRoom) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }
}
