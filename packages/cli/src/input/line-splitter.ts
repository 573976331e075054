import { CliError, ExitCode } from "../exit-codes.ts";

const LINE_FEED = 10;

/**
 * Cuts chunks of bytes into lines, without making strings of them. Lines are views of the
 * chunks where they can be; a line that spans chunks is put together. The line feed that
 * ends a line is not part of it; every other byte is, a carriage return too. A last line without one counts.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #lineNumber = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Number of lines so far. */
  get lineNumber(): number {
    return this.#lineNumber;
  }

  *split(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end < 0) break;
      yield this.#line(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start === chunk.length) return;
    this.#rest.push(chunk.subarray(start));
    this.#restBytes += chunk.length - start;
    if (this.#restBytes > this.#maxLineBytes) throw this.#tooLong();
  }

  /** The last line, when the input does not end with a line feed. */
  end(): Uint8Array | undefined {
    return this.#restBytes === 0 ? undefined : this.#line(new Uint8Array(0));
  }

  #line(tail: Uint8Array): Uint8Array {
    let line = tail;
    if (this.#restBytes > 0) {
      line = Buffer.concat([...this.#rest, tail]);
      this.#rest = [];
      this.#restBytes = 0;
    }
    if (line.length > this.#maxLineBytes) throw this.#tooLong();
    this.#lineNumber++;
    return line;
  }

  #tooLong(): CliError {
    return new CliError(
      ExitCode.failed,
      `line ${this.#lineNumber + 1} is longer than ${this.#maxLineBytes} bytes (--max-record-bytes)`,
    );
  }
}
