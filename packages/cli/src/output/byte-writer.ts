import type { Writable } from "node:stream";

const CHUNK_BYTES = 256 * 1024;

/**
 * Collects small pieces of output into large chunks, and waits for the reader of the output where it is slow.
 */
export class ByteWriter {
  readonly #target: Writable;
  #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #used = 0;
  #blocked = false;
  #closed = false;

  constructor(target: Writable) {
    this.#target = target;
  }

  /** The other side went away (`| head`): nothing more is written. */
  get closed(): boolean {
    return this.#closed || this.#target.destroyed;
  }

  /** Whether `flush` has something to do. */
  get wantsFlush(): boolean {
    return this.#blocked || this.#used > CHUNK_BYTES / 4;
  }

  bytes(piece: Uint8Array): void {
    const { length } = piece;
    if (length > CHUNK_BYTES - this.#used) {
      this.#push();
      if (length > CHUNK_BYTES / 2) {
        // The piece is a view of a buffer that is not written to again: it goes out as it is.
        this.#write(piece);
        return;
      }
    }
    this.#buffer.set(piece, this.#used);
    this.#used += length;
  }

  /** ASCII only: digits, signs. */
  ascii(text: string): void {
    if (text.length > CHUNK_BYTES - this.#used) this.#push();
    this.#used += this.#buffer.write(text, this.#used, "latin1");
  }

  text(text: string): void {
    this.bytes(Buffer.from(text, "utf8"));
  }

  /** Hands everything on, and resolves when the output takes more. */
  async flush(): Promise<void> {
    this.#push();
    if (!this.#blocked || this.closed) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#target.off("drain", done);
        this.#target.off("close", done);
        this.#target.off("error", done);
        resolve();
      };
      this.#target.once("drain", done);
      this.#target.once("close", done);
      this.#target.once("error", done);
    });
    this.#blocked = false;
  }

  #push(): void {
    if (this.#used === 0) return;
    this.#write(this.#buffer.subarray(0, this.#used));
    this.#buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    this.#used = 0;
  }

  #write(piece: Uint8Array): void {
    if (this.closed) return;
    try {
      if (!this.#target.write(piece)) this.#blocked = true;
    } catch {
      // A pipe without a reader may also fail at once; the stream's own error tells the rest of the program.
      this.#closed = true;
    }
  }
}
