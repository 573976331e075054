/** What one read of a log takes at most: a larger buffer is not kept. */
const BUFFER_BYTES = 1024 * 1024;
/** Reads that take less than this are not worth a buffer of the pool. */
const SMALLEST_BYTES = 32 * 1024;

/**
 * Buffers for what is read from disk, used again once their bytes have left the process. A fresh one for
 * each read costs more than the read: its pages have to be found and zeroed, and V8 collects its whole heap
 * for each few of them. Who gets bytes from here may give them back when nobody looks at them any more, or
 * never: then they are garbage like any other, so that only those need to know of this who are sure.
 */
export class ReadBuffers {
  readonly #maxIdle: number;
  /** The one given back last is taken first: it is still in the processor's cache. */
  readonly #idle: ArrayBufferLike[] = [];
  readonly #lent = new WeakSet<ArrayBufferLike>();

  constructor(maxIdleBytes = 16 * BUFFER_BYTES) {
    this.#maxIdle = Math.floor(maxIdleBytes / BUFFER_BYTES);
  }

  /** Bytes that are kept to be used again. */
  get idleBytes(): number {
    return this.#idle.length * BUFFER_BYTES;
  }

  /** That many bytes with anything in them. */
  take(sizeBytes: number): Uint8Array {
    if (sizeBytes < SMALLEST_BYTES || sizeBytes > BUFFER_BYTES) return fresh(sizeBytes);
    const buffer = this.#idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES).buffer;
    this.#lent.add(buffer);
    return new Uint8Array(buffer, 0, sizeBytes);
  }

  /**
   * The buffer under a view, of which there may be others, is read by nobody any more.
   * Bytes that did not come from here, or were given back already, are left alone.
   */
  giveBack(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (!this.#lent.delete(buffer)) return;
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer);
  }
}

function fresh(sizeBytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer, 0, sizeBytes);
}
