import { malformed } from "@ottla/kafka-protocol";

const LENGTH_BYTES = 4;
/** A frame that spans chunks gets at most this much memory before its bytes have come. */
const FIRST_ALLOCATION_BYTES_MAX = 1 << 20;

/**
 * Cuts a byte stream into frames: four bytes of length, then that many bytes. A frame that
 * lies within one chunk is a view of it; one that spans chunks is copied together once,
 * into memory that grows with what has arrived and never with what was only announced.
 */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthFilled = 0;
  #frame: Buffer | undefined;
  #frameBytes = 0;
  #filled = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Bytes of a frame that is not whole yet. */
  get partialBytes(): number {
    return this.#lengthFilled + this.#filled;
  }

  /** Forgets the frame that is not whole, and the memory that it has taken. */
  clear(): void {
    this.#takeFrame();
    this.#lengthFilled = 0;
  }

  /**
   * Takes the next chunk and calls back for each frame that is whole. Throws when a length is out of bounds.
   */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    let position = 0;
    while (position < chunk.byteLength) {
      if (this.#frame !== undefined) {
        position += this.#fill(chunk, position);
        if (this.#filled === this.#frameBytes) onFrame(this.#takeFrame());
        continue;
      }
      position += this.#fillLength(chunk, position);
      if (this.#lengthFilled < LENGTH_BYTES) return;
      const frameBytes = this.#checkedLength();
      this.#lengthFilled = 0;
      if (chunk.byteLength - position >= frameBytes) {
        onFrame(chunk.subarray(position, position + frameBytes));
        position += frameBytes;
      } else {
        this.#frameBytes = frameBytes;
        this.#filled = 0;
        this.#frame = Buffer.allocUnsafeSlow(Math.min(frameBytes, FIRST_ALLOCATION_BYTES_MAX));
      }
    }
  }

  #checkedLength(): number {
    const length = this.#length.readInt32BE(0);
    if (length < 0) throw malformed(`a frame of ${length} bytes`);
    if (length > this.#maxFrameBytes) {
      throw malformed(
        `a frame of ${length} bytes is larger than kafka.max-request-bytes (${this.#maxFrameBytes})`,
      );
    }
    return length;
  }

  #fillLength(chunk: Uint8Array, position: number): number {
    const taken = Math.min(LENGTH_BYTES - this.#lengthFilled, chunk.byteLength - position);
    this.#length.set(chunk.subarray(position, position + taken), this.#lengthFilled);
    this.#lengthFilled += taken;
    return taken;
  }

  #fill(chunk: Uint8Array, position: number): number {
    const taken = Math.min(this.#frameBytes - this.#filled, chunk.byteLength - position);
    const frame = this.#roomFor(this.#filled + taken);
    frame.set(
      position === 0 && taken === chunk.byteLength ? chunk : chunk.subarray(position, position + taken),
      this.#filled,
    );
    this.#filled += taken;
    return taken;
  }

  #roomFor(bytes: number): Buffer {
    const frame = this.#frame ?? Buffer.allocUnsafeSlow(0);
    if (bytes <= frame.byteLength) return frame;
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#frameBytes, Math.max(bytes, frame.byteLength * 2)));
    larger.set(frame.subarray(0, this.#filled));
    this.#frame = larger;
    return larger;
  }

  #takeFrame(): Uint8Array {
    const frame = this.#frame ?? Buffer.allocUnsafeSlow(0);
    this.#frame = undefined;
    this.#filled = 0;
    return frame;
  }
}
