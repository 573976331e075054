import { CliError, ExitCode } from "../exit-codes.ts";

const PREFIX_BYTES = 4;

/** Cuts chunks into values that each follow their length: four bytes, unsigned, big-endian. */
export class LengthPrefixSplitter {
  readonly #maxValueBytes: number;
  #rest: Uint8Array = new Uint8Array(0);
  #count = 0;

  constructor(maxValueBytes: number) {
    this.#maxValueBytes = maxValueBytes;
  }

  *split(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let position = 0;
    while (bytes.length - position >= PREFIX_BYTES) {
      const length = view.getUint32(position);
      if (length > this.#maxValueBytes) {
        throw new CliError(
          ExitCode.failed,
          `value ${this.#count + 1} has ${length} bytes, over the limit of ${this.#maxValueBytes} (--max-record-bytes)`,
        );
      }
      const end = position + PREFIX_BYTES + length;
      if (end > bytes.length) break;
      this.#count++;
      yield bytes.subarray(position + PREFIX_BYTES, end);
      position = end;
    }
    this.#rest = bytes.subarray(position);
  }

  /** Throws when the input ends in the middle of a value. */
  end(): undefined {
    if (this.#rest.length === 0) return undefined;
    throw new CliError(
      ExitCode.failed,
      `the input ends ${this.#rest.length} bytes into value ${this.#count + 1}: its length prefix promises more`,
    );
  }
}
