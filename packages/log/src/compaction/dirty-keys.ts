import { OttlaError } from "@ottla/errors";
import { BatchFilter, type BatchHeader } from "@ottla/records";
import type { Segment } from "../segment.ts";
import type { OffsetMap } from "./offset-map.ts";
import { type CompactionWork, sourceBatches } from "./source-batches.ts";

/**
 * Notes the last offset of each key of the records from `fromOffset` up to `endOffset`, as far as the map
 * reaches; returns where that is.
 */
export async function noteDirtyKeys(
  work: CompactionWork,
  range: { readonly segments: readonly Segment[]; readonly fromOffset: number; readonly endOffset: number },
  map: OffsetMap,
): Promise<number> {
  const { fromOffset, endOffset } = range;
  for (const segment of range.segments) {
    for await (const { header, bytes } of sourceBatches(work, segment, fromOffset)) {
      if (header.lastOffset < fromOffset || header.isControl) continue;
      if (header.baseOffset >= endOffset) return endOffset;
      const full = await noteKeys(work, bytes, header, fromOffset, map);
      if (full !== undefined) return full;
    }
  }
  return endOffset;
}

/** A look at the clock costs as much as a record. */
export const RECORDS_PER_LOOK = 32;

/** Returns the offset of the first record whose key found no room. */
async function noteKeys(
  work: CompactionWork,
  bytes: Uint8Array,
  header: BatchHeader,
  fromOffset: number,
  map: OffsetMap,
): Promise<number | undefined> {
  const records = await openRecords(bytes, header, work);
  if (records === undefined) return undefined;
  for (let count = 1; ; count += 1) {
    const hasMore = nextRecord(records);
    if (hasMore !== true) return undefined;
    const { bytes: keys, keyStart, keyEnd, offset } = records;
    const isNoted = keyStart < 0 || offset < fromOffset || map.put(keys, keyStart, keyEnd, offset);
    if (!isNoted) return offset;
    if (count % RECORDS_PER_LOOK === 0 && work.pace.isDue) await work.pace.rest(work.signal);
  }
}

/** Undefined for records that nobody can read: their batch stays as it is. */
export async function openRecords(
  bytes: Uint8Array,
  header: BatchHeader,
  { state, maxDecompressedBytes }: CompactionWork,
): Promise<BatchFilter | undefined> {
  try {
    return await BatchFilter.open(bytes, header, state.resources.codecs, { maxDecompressedBytes });
  } catch (error) {
    if (error instanceof OttlaError) return undefined;
    throw error;
  }
}

/** False behind the last record; undefined when it cannot be read. */
export function nextRecord(records: BatchFilter): boolean | undefined {
  try {
    return records.next();
  } catch (error) {
    if (error instanceof OttlaError) return undefined;
    throw error;
  }
}
