import { crc32c } from "@ottla/records";
import { LOG_FORMATS } from "./format-versions.ts";
import { MAX_REMEMBERED_BATCHES, type ProducerBatch, type ProducerEntry } from "./producer-entry.ts";

const VERSION = LOG_FORMATS.snapshot;
const CRC_POSITION = 2;
const BODY_POSITION = 6;
const ENTRIES_POSITION = 10;
export const SNAPSHOT_ENTRY_BYTES = 46;

/**
 * The `.snapshot` file in Kafka's format, version 1. Kafka writes one row per producer,
 * with its last batch only. R11 wants five batches remembered across restarts: we write
 * one row per remembered batch, oldest first. Kafka's readers take rows of one producer
 * one after another, so the newest wins there and nothing is lost here.
 */
export function encodeProducerSnapshot(entries: Iterable<ProducerEntry>): Uint8Array {
  const rows: { entry: ProducerEntry; batch: ProducerBatch | undefined }[] = [];
  for (const entry of entries) {
    if (entry.batches.length === 0) rows.push({ entry, batch: undefined });
    for (const batch of entry.batches) rows.push({ entry, batch });
  }
  const bytes = new Uint8Array(ENTRIES_POSITION + rows.length * SNAPSHOT_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, VERSION);
  view.setInt32(BODY_POSITION, rows.length);
  rows.forEach(({ entry, batch }, index) => {
    const at = ENTRIES_POSITION + index * SNAPSHOT_ENTRY_BYTES;
    view.setBigInt64(at, BigInt(entry.producerId));
    view.setInt16(at + 8, entry.producerEpoch);
    view.setInt32(at + 10, batch?.lastSequence ?? -1);
    view.setBigInt64(at + 14, BigInt(batch?.lastOffset ?? -1));
    view.setInt32(at + 22, batch?.offsetDelta ?? 0);
    view.setBigInt64(at + 26, BigInt(batch?.timestampMs ?? entry.lastTimestampMs));
    view.setInt32(at + 34, entry.coordinatorEpoch);
    view.setBigInt64(at + 38, BigInt(entry.transactionFirstOffset));
  });
  view.setUint32(CRC_POSITION, crc32c(bytes.subarray(BODY_POSITION)));
  return bytes;
}

/** The producers of a snapshot, or what is wrong with it. Reads snapshots written by Kafka too. */
export function decodeProducerSnapshot(bytes: Uint8Array): ProducerEntry[] | { readonly damage: string } {
  if (bytes.byteLength < ENTRIES_POSITION) return { damage: `${bytes.byteLength} bytes hold no header` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getInt16(0);
  if (version !== VERSION) return { damage: `version ${version} is not ${VERSION}` };
  const crc = crc32c(bytes.subarray(BODY_POSITION));
  if (crc !== view.getUint32(CRC_POSITION)) return { damage: "the CRC is wrong" };
  const count = view.getInt32(BODY_POSITION);
  if (count < 0 || bytes.byteLength !== ENTRIES_POSITION + count * SNAPSHOT_ENTRY_BYTES) {
    return { damage: `${bytes.byteLength} bytes do not hold ${count} entries` };
  }
  const producers = new Map<number, ProducerEntry>();
  for (let index = 0; index < count; index += 1) {
    const row = readRow(view, ENTRIES_POSITION + index * SNAPSHOT_ENTRY_BYTES);
    const known = producers.get(row.producerId);
    // The map keeps the order of the last row, which is the order in which producers were last seen.
    producers.delete(row.producerId);
    producers.set(row.producerId, known === undefined ? row : merge(known, row));
  }
  return [...producers.values()];
}

function merge(known: ProducerEntry, row: ProducerEntry): ProducerEntry {
  if (known.producerEpoch !== row.producerEpoch) return row;
  return { ...row, batches: [...known.batches, ...row.batches].slice(-MAX_REMEMBERED_BATCHES) };
}

function readRow(view: DataView, at: number): ProducerEntry {
  const lastOffset = Number(view.getBigInt64(at + 14));
  const timestampMs = Number(view.getBigInt64(at + 26));
  const batch = {
    lastSequence: view.getInt32(at + 10),
    lastOffset,
    offsetDelta: view.getInt32(at + 22),
    timestampMs,
  };
  return {
    producerId: Number(view.getBigInt64(at)),
    producerEpoch: view.getInt16(at + 8),
    coordinatorEpoch: view.getInt32(at + 34),
    lastTimestampMs: timestampMs,
    transactionFirstOffset: Number(view.getBigInt64(at + 38)),
    batches: lastOffset >= 0 ? [batch] : [],
  };
}
