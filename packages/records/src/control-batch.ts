import { OttlaError } from "@ottla/errors";
import { type BatchOptions, encodeBatch } from "./batch-builder.ts";
import { readBatchHeader } from "./batch-header.ts";
import { decodeRecords } from "./decode-records.ts";
import { readInt16, readInt32, writeInt16, writeInt32 } from "./int.ts";
import type { DecodedRecord } from "./record.ts";

/**
 * What a control record says: a transaction ended (Kafka's EndTxnMarker), or something
 * else that is told by its number. Kafka has given out the numbers 0 to 6.
 */
export type ControlRecord =
  | { readonly type: "abort" | "commit"; readonly coordinatorEpoch: number }
  | { readonly type: "other"; readonly typeId: number; readonly value: Uint8Array | null };

export type ControlBatchOptions = Omit<BatchOptions, "isControl" | "compression" | "baseSequence"> & {
  readonly timestampMs: number;
};

const ABORT_TYPE_ID = 0;
const COMMIT_TYPE_ID = 1;
const KEY_BYTES = 4;
const END_MARKER_BYTES = 6;

/**
 * A batch with one control record, which clients skip. Transaction markers need the producer's id and epoch.
 */
export function encodeControlBatch(record: ControlRecord, options: ControlBatchOptions): Uint8Array {
  const { timestampMs, ...batchOptions } = options;
  const isEndMarker = record.type !== "other";
  const key = new Uint8Array(KEY_BYTES);
  writeInt16(key, 2, typeIdOf(record));
  const value = isEndMarker ? encodeEndMarker(record.coordinatorEpoch) : record.value;
  return encodeBatch([{ timestampMs, key, value }], {
    isTransactional: isEndMarker,
    ...batchOptions,
    isControl: true,
  });
}

/**
 * What the first record of a control batch says. Throws INVALID_RECORD when the batch is
 * none or is malformed.
 */
export function decodeControlBatch(batch: Uint8Array): ControlRecord {
  if (!readBatchHeader(batch).isControl) throw malformed("it is not a control batch");
  for (const record of decodeRecords(batch)) return decodeControlRecord(record);
  throw malformed("it has no record");
}

export function decodeControlRecord({ key, value }: DecodedRecord): ControlRecord {
  if (key === null || key.length < KEY_BYTES || readInt16(key, 0) < 0)
    throw malformed("its key is too short");
  const typeId = readInt16(key, 2);
  if (typeId !== ABORT_TYPE_ID && typeId !== COMMIT_TYPE_ID) return { type: "other", typeId, value };
  if (value === null || value.length < END_MARKER_BYTES || readInt16(value, 0) < 0) {
    throw malformed("its transaction marker is too short");
  }
  return { type: typeId === COMMIT_TYPE_ID ? "commit" : "abort", coordinatorEpoch: readInt32(value, 2) };
}

function typeIdOf(record: ControlRecord): number {
  if (record.type === "other") return record.typeId;
  return record.type === "commit" ? COMMIT_TYPE_ID : ABORT_TYPE_ID;
}

function encodeEndMarker(coordinatorEpoch: number): Uint8Array {
  const value = new Uint8Array(END_MARKER_BYTES);
  writeInt32(value, 2, coordinatorEpoch);
  return value;
}

function malformed(reason: string): OttlaError {
  return new OttlaError("INVALID_RECORD", `a control record cannot be read: ${reason}`);
}
