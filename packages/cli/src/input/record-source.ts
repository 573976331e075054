import type { ProducerRecord } from "@ottla/client";
import { parseJsonRecord } from "./json-record.ts";
import { LengthPrefixSplitter } from "./length-prefix-splitter.ts";
import { LineSplitter } from "./line-splitter.ts";

export type InputFormat = "lines" | "ndjson" | "length-prefixed";

export interface RecordShape {
  readonly topic: string;
  readonly format: InputFormat;
  /** Bytes between key and value; a line without them is a value without a key. */
  readonly keySeparator: Uint8Array | undefined;
  readonly headers: { key: string; value: string }[] | undefined;
  readonly partition: number | undefined;
  /** An empty value is sent as null: a tombstone. */
  readonly emptyAsNull: boolean;
  readonly maxRecordBytes: number;
}

const CARRIAGE_RETURN = 13;

/** Makes records of chunks of input. One for each file, so that line numbers are the file's. */
export class RecordSource {
  readonly #shape: RecordShape;
  readonly #splitter: LineSplitter | LengthPrefixSplitter;
  #count = 0;

  constructor(shape: RecordShape) {
    this.#shape = shape;
    this.#splitter =
      shape.format === "length-prefixed"
        ? new LengthPrefixSplitter(shape.maxRecordBytes)
        : new LineSplitter(shape.maxRecordBytes);
  }

  *records(chunk: Uint8Array): Generator<ProducerRecord, void, undefined> {
    for (const piece of this.#splitter.split(chunk)) {
      const record = this.#record(piece);
      if (record !== undefined) yield record;
    }
  }

  end(): ProducerRecord | undefined {
    const piece = this.#splitter.end();
    return piece === undefined ? undefined : this.#record(piece);
  }

  #record(piece: Uint8Array): ProducerRecord | undefined {
    this.#count++;
    const { topic, format, headers, partition } = this.#shape;
    if (format !== "ndjson") return this.#plainRecord(piece);
    // Between the lines of NDJSON there may be empty ones, also as Windows writes them.
    if (piece.length === 0 || (piece.length === 1 && piece[0] === CARRIAGE_RETURN)) return undefined;
    const record = parseJsonRecord(piece, this.#count);
    return {
      topic,
      key: record.key,
      value: record.value,
      partition: record.partition ?? partition,
      headers: record.headers === undefined ? headers : [...(headers ?? []), ...record.headers],
      timestampMs: record.timestampMs,
    };
  }

  #plainRecord(piece: Uint8Array): ProducerRecord {
    const { topic, keySeparator, headers, partition, emptyAsNull } = this.#shape;
    let key: Uint8Array | null = null;
    let value: Uint8Array | null = piece;
    if (keySeparator !== undefined) {
      const at = indexOfBytes(piece, keySeparator);
      if (at >= 0) {
        key = piece.subarray(0, at);
        value = piece.subarray(at + keySeparator.length);
      }
    }
    if (emptyAsNull && value.length === 0) value = null;
    return { topic, key, value, headers, partition };
  }
}

function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array): number {
  const [first] = wanted;
  if (wanted.length === 1 && first !== undefined) return bytes.indexOf(first);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(wanted);
}
