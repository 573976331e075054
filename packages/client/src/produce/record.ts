import { OttlaError } from "@ottla/errors";
import type { RecordInput } from "@ottla/records";

/** Bytes as they are, or a string that is sent as UTF-8. */
export type Bytes = Uint8Array | string;

/** Headers of a record: pairs in order (keys may repeat), or an object when they do not. */
export type HeadersInput =
  | readonly { readonly key: string; readonly value: Bytes | null }[]
  | Readonly<Record<string, Bytes | null>>;

/** A record to send. The bytes must not be changed before its acknowledgement. */
export interface ProducerRecord {
  readonly topic: string;
  /** Absent: chosen from the key as Kafka's Java client does, or sticky when there is no key. */
  readonly partition?: number | undefined;
  readonly key?: Bytes | null | undefined;
  /** `null` is a tombstone in a compacted topic. */
  readonly value: Bytes | null;
  readonly headers?: HeadersInput | undefined;
  /** Milliseconds since the Unix epoch; absent means now. */
  readonly timestampMs?: number | undefined;
}

/** Where a record was stored. */
export interface DeliveredRecord {
  readonly topic: string;
  readonly partition: number;
  /** -1n when it is not known: with `acks: "none"`, or for a retry of a batch that was stored long ago. */
  readonly offset: bigint;
  readonly timestampMs: number;
}

/** What a record costs the buffer beside its key, value and headers. */
export const RECORD_OVERHEAD_BYTES = 64;

/** A record in bytes, and what it counts in the buffer. */
export interface EncodedRecord {
  readonly topic: string;
  readonly partition: number | undefined;
  readonly input: RecordInput;
  readonly sizeBytes: number;
  /** Of the span of sending it, where that is recorded. */
  readonly traceparent?: string;
}

export function toBytes(value: Bytes): Uint8Array {
  return typeof value === "string" ? Buffer.from(value, "utf8") : value;
}

export function encodeRecord(record: ProducerRecord, nowMs: number): EncodedRecord {
  const key = record.key === undefined || record.key === null ? null : toBytes(record.key);
  const value = record.value === null ? null : toBytes(record.value);
  const timestampMs = record.timestampMs ?? nowMs;
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
    throw refuse("timestampMs", "must be milliseconds since 1970, a whole number", timestampMs);
  }
  const partition = record.partition;
  if (partition !== undefined && (!Number.isSafeInteger(partition) || partition < 0)) {
    throw refuse("partition", "must be a whole number from 0", partition);
  }
  let sizeBytes =
    RECORD_OVERHEAD_BYTES + (key === null ? 0 : key.length) + (value === null ? 0 : value.length);
  let input: RecordInput = { timestampMs, key, value };
  if (record.headers !== undefined) {
    const headers = encodeHeaders(record.headers);
    for (const header of headers) sizeBytes += header.key.length * 3 + (header.value?.length ?? 0) + 10;
    input = { timestampMs, key, value, headers };
  }
  return { topic: record.topic, partition, input, sizeBytes };
}

function encodeHeaders(headers: HeadersInput): { key: string; value: Uint8Array | null }[] {
  const pairs = Array.isArray(headers)
    ? (headers as readonly { key: string; value: Bytes | null }[])
    : Object.entries(headers).map(([key, value]) => ({ key, value: value as Bytes | null }));
  return pairs.map(({ key, value }) => ({ key, value: value === null ? null : toBytes(value) }));
}

function refuse(field: string, rule: string, value: unknown): OttlaError {
  return new OttlaError("INVALID_REQUEST", `${field} ${rule}, not ${String(value)}`, {
    metadata: { field, value: String(value) },
  });
}
