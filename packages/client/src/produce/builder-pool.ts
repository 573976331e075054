import { BatchBuilder, type Compression } from "@ottla/records";

/** How many idle builders keep their memory: enough for the batches that are open or about to be sent. */
const MAX_IDLE = 16;

/**
 * Builders with their memory, used again and again: growing a new one for each batch
 * would cost as much as filling it.
 */
export class BuilderPool {
  readonly #compression: Compression;
  readonly #maxKeptBytes: number;
  readonly #idle: BatchBuilder[] = [];

  constructor(compression: Compression, batchBytes: number) {
    this.#compression = compression;
    this.#maxKeptBytes = batchBytes;
  }

  take(): BatchBuilder {
    return this.#idle.pop() ?? new BatchBuilder({ compression: this.#compression });
  }

  give(builder: BatchBuilder): void {
    // One that held a record larger than a batch should be would pin that much memory for good.
    if (this.#idle.length >= MAX_IDLE || builder.sizeBytes > this.#maxKeptBytes) return;
    builder.reset();
    this.#idle.push(builder);
  }
}
