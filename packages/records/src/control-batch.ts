import { OttlaError } from "@ottla/errors";
import { type BatchOptions, encodeBatch } from "./batch-builder.ts";
import { readBatchHeader } from "./batch-header.ts";
import { decodeRecords } from "./decode-records.ts";
import { readInt16, readInt32, readInt64, writeInt16, writeInt32, writeInt64 } from "./int.ts";
import type { DecodedRecord } from "./record.ts";

/**
 * What a control record says: a transaction ended (Kafka's EndTxnMarker); an owner of a
 * single-writer log begins (Ottla's own, R13); or something else that is told by its
 * number. Kafka has given out the numbers 0 to 6.
 */
export type ControlRecord =
  | { readonly type: "abort" | "commit"; readonly coordinatorEpoch: number }
  | { readonly type: "owner"; readonly ownerEpoch: number }
  | { readonly type: "other"; readonly typeId: number; readonly value: Uint8Array | null };

export type ControlBatchOptions = Omit<BatchOptions, "isControl" | "compression" | "baseSequence"> & {
  readonly timestampMs: number;
};

const ABORT_TYPE_ID = 0;
const COMMIT_TYPE_ID = 1;
/** Far from the numbers that Kafka gives out one by one; its tools show it as an unknown type. */
const OWNER_TYPE_ID = 20_308;
const KEY_BYTES = 4;
const END_MARKER_BYTES = 6;
const OWNER_FENCE_BYTES = 10;

/**
 * A batch with one control record, which clients skip. Transaction markers need the producer's id and epoch.
 */
export function encodeControlBatch(record: ControlRecord, options: ControlBatchOptions): Uint8Array {
  const { timestampMs, ...batchOptions } = options;
  const isEndMarker = record.type === "commit" || record.type === "abort";
  const key = new Uint8Array(KEY_BYTES);
  writeInt16(key, 2, typeIdOf(record));
  const value = encodeValue(record);
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
  if (typeId === OWNER_TYPE_ID) return { type: "owner", ownerEpoch: decodeOwnerEpoch(value) };
  if (typeId !== ABORT_TYPE_ID && typeId !== COMMIT_TYPE_ID) return { type: "other", typeId, value };
  if (value === null || value.length < END_MARKER_BYTES || readInt16(value, 0) < 0) {
    throw malformed("its transaction marker is too short");
  }
  return { type: typeId === COMMIT_TYPE_ID ? "commit" : "abort", coordinatorEpoch: readInt32(value, 2) };
}

function typeIdOf(record: ControlRecord): number {
  switch (record.type) {
    case "abort":
      return ABORT_TYPE_ID;
    case "commit":
      return COMMIT_TYPE_ID;
    case "owner":
      return OWNER_TYPE_ID;
    case "other":
      return record.typeId;
    default:
      return record satisfies never;
  }
}

function encodeValue(record: ControlRecord): Uint8Array | null {
  if (record.type === "other") return record.value;
  if (record.type === "owner") {
    const value = new Uint8Array(OWNER_FENCE_BYTES);
    writeInt64(value, 2, record.ownerEpoch);
    return value;
  }
  const value = new Uint8Array(END_MARKER_BYTES);
  writeInt32(value, 2, record.coordinatorEpoch);
  return value;
}

function decodeOwnerEpoch(value: Uint8Array | null): number {
  if (value === null || value.length < OWNER_FENCE_BYTES || readInt16(value, 0) < 0) {
    throw malformed("its owner's fence is too short");
  }
  const ownerEpoch = readInt64(value, 2);
  if (ownerEpoch < 0 || !Number.isSafeInteger(ownerEpoch)) {
    throw malformed(`owner epoch ${ownerEpoch} is out of range`);
  }
  return ownerEpoch;
}

function malformed(reason: string): OttlaError {
  return new OttlaError("INVALID_RECORD", `a control record cannot be read: ${reason}`);
}
