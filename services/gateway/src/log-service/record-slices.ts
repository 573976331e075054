import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RecordSchema } from "@ottla/proto/ottla/v1/record";
import { type BatchHeader, type DecodedRecord, decodeRecords, readBatchHeader } from "@ottla/records";
import type { Clock } from "@ottla/runtime";

export type RecordInit = MessageInitShape<typeof RecordSchema>;

/** Some of the records that a fetch brought, and where the reader goes on after them. */
export interface RecordSlice {
  readonly records: readonly RecordInit[];
  readonly nextOffset: number;
}

export interface SliceOptions {
  /** The first offset wanted: a batch may begin before it. */
  readonly fromOffset: number;
  /** Where the fetched batches end. */
  readonly nextOffset: number;
  /** About how many bytes of records go into one slice. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** After so long other work gets a turn of the event loop. */
const MAX_STALL_MS = 8;
const CHECK_EVERY_RECORDS = 64;
/** What a record weighs in a message beside its key, value and headers. */
const RECORD_OVERHEAD_BYTES = 32;

/**
 * Decodes batches into slices of records, lazily: nothing is decoded before it is asked
 * for, so that what a compressed batch unfolds to is held one slice at a time. Gives
 * other work a turn every few milliseconds. Control batches are skipped.
 */
export async function* sliceRecords(bytes: Uint8Array, options: SliceOptions): AsyncGenerator<RecordSlice> {
  const { fromOffset, maxBytes, clock } = options;
  let records: RecordInit[] = [];
  let sizeBytes = 0;
  let sinceCheck = 0;
  let turnStartedMs = clock.monotonic();
  for (const { header, batch } of batchesOf(bytes)) {
    if (header.isControl || header.lastOffset < fromOffset) continue;
    for (const record of decodeRecords(batch)) {
      if (record.offset < fromOffset) continue;
      records.push(toMessage(record));
      sizeBytes += sizeOf(record);
      if (sizeBytes >= maxBytes) {
        yield { records, nextOffset: record.offset + 1 };
        records = [];
        sizeBytes = 0;
        turnStartedMs = clock.monotonic();
      }
      sinceCheck += 1;
      if (sinceCheck < CHECK_EVERY_RECORDS) continue;
      sinceCheck = 0;
      if (clock.monotonic() - turnStartedMs < MAX_STALL_MS) continue;
      await nextTurn(clock);
      if (options.signal.aborted) return;
      turnStartedMs = clock.monotonic();
    }
  }
  yield { records, nextOffset: options.nextOffset };
}

function* batchesOf(bytes: Uint8Array): Generator<{ header: BatchHeader; batch: Uint8Array }> {
  for (let position = 0; position < bytes.length; ) {
    const header = readBatchHeader(bytes, position);
    yield { header, batch: bytes.subarray(position, position + header.sizeBytes) };
    position += header.sizeBytes;
  }
}

function toMessage(record: DecodedRecord): RecordInit {
  const { key, value, headers } = record;
  return {
    offset: BigInt(record.offset),
    timestampMs: BigInt(record.timestampMs),
    ...(key === null ? {} : { key }),
    ...(value === null ? {} : { value }),
    ...(headers.length === 0
      ? {}
      : { headers: headers.map((header) => (header.value === null ? { key: header.key } : asSet(header))) }),
  };
}

function asSet(header: DecodedRecord["headers"][number]): { key: string; value: Uint8Array } {
  return { key: header.key, value: header.value ?? new Uint8Array(0) };
}

function sizeOf({ key, value, headers }: DecodedRecord): number {
  let sizeBytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) sizeBytes += 8 + header.key.length + (header.value?.length ?? 0);
  return sizeBytes;
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.nextTurn(resolve);
  });
}

/** The chunks of a fetch as one piece of memory; a single chunk is used as it is. */
export function joinChunks(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const first = chunks[0];
  if (first === undefined) return new Uint8Array(0);
  if (chunks.length === 1) return first;
  const joined = Buffer.allocUnsafeSlow(sizeBytes);
  let position = 0;
  for (const chunk of chunks) {
    joined.set(chunk, position);
    position += chunk.length;
  }
  return joined;
}
