/** A header as a producer gives it. Keys may repeat; order is kept. */
export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** A record to be encoded. */
export interface RecordInput {
  /** Milliseconds since 1970, or -1 for none. */
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly RecordHeader[];
}

/**
 * A record as decoded. Key, value and header values are views of the (decompressed) batch: copy what is kept.
 */
export interface DecodedRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}
