import { BATCH_PREFIX_BYTES, type BatchHeader, encodeBatchPrefix, setLogAppendTime } from "@ottla/records";
import { largestTimestampOf, type PlacedBatch } from "./segment.ts";
import type { CachedBatch } from "./tail-cache.ts";

/**
 * Batches up to this size are copied whole: cheaper than two buffers, and they never pin what they came in.
 */
const SMALL_BATCH_BYTES = 4096;

export interface PlacedAppend {
  readonly batches: readonly PlacedBatch[];
  readonly buffers: readonly Uint8Array[];
  readonly cached: readonly CachedBatch[];
  readonly sizeBytes: number;
  readonly recordCount: number;
}

export interface PlaceOptions {
  /** Undefined keeps the offsets and epochs that the batches carry, as a follower does. */
  readonly assign: { readonly baseOffset: number; readonly leaderEpoch: number } | undefined;
  /** Set for topics with `message.timestamp.type=LogAppendTime`. */
  readonly logAppendTimeMs: number | undefined;
}

/**
 * Gives batches their offsets: a fresh prefix beside a view of the rest. The caller's
 * bytes are never changed, because a gateway may have to send them again.
 */
export function placeBatches(
  bytes: Uint8Array,
  headers: readonly BatchHeader[],
  options: PlaceOptions,
): PlacedAppend {
  const batches: PlacedBatch[] = [];
  const buffers: Uint8Array[] = [];
  const cached: CachedBatch[] = [];
  let sizeBytes = 0;
  let recordCount = 0;
  let nextOffset = options.assign?.baseOffset ?? 0;
  for (const header of headers) {
    const baseOffset = options.assign === undefined ? header.baseOffset : nextOffset;
    const lastOffset = baseOffset + header.lastOffsetDelta;
    nextOffset = lastOffset + 1;
    const chunks = placeBatch(bytes, header, baseOffset, options);
    for (const chunk of chunks) buffers.push(chunk);
    const maxTimestampMs = options.logAppendTimeMs ?? largestTimestampOf(header);
    batches.push({ baseOffset, lastOffset, sizeBytes: header.sizeBytes, maxTimestampMs });
    cached.push({ baseOffset, lastOffset, sizeBytes: header.sizeBytes, chunks });
    sizeBytes += header.sizeBytes;
    recordCount += header.lastOffsetDelta + 1;
  }
  return { batches, buffers, cached, sizeBytes, recordCount };
}

function placeBatch(
  bytes: Uint8Array,
  header: BatchHeader,
  baseOffset: number,
  options: PlaceOptions,
): readonly Uint8Array[] {
  const whole = bytes.subarray(header.position, header.position + header.sizeBytes);
  const isSmall = header.sizeBytes <= SMALL_BATCH_BYTES;
  if (options.assign === undefined) return [isSmall ? new Uint8Array(whole) : whole];
  const prefix = encodeBatchPrefix(baseOffset, header.batchLength, options.assign.leaderEpoch);
  if (options.logAppendTimeMs === undefined && !isSmall) return [prefix, whole.subarray(BATCH_PREFIX_BYTES)];
  const copy =
    options.logAppendTimeMs === undefined
      ? new Uint8Array(whole)
      : setLogAppendTime(whole, options.logAppendTimeMs);
  copy.set(prefix);
  return [copy];
}

/**
 * Copies chunks that would keep a much larger buffer in memory: a cache must not pin a
 * socket's slab. Chunks that together fill most of a buffer stay views of it.
 */
export function unpinned(batches: readonly CachedBatch[]): readonly CachedBatch[] {
  const heldBytes = new Map<ArrayBufferLike, number>();
  for (const { chunks } of batches) {
    for (const chunk of chunks) {
      heldBytes.set(chunk.buffer, (heldBytes.get(chunk.buffer) ?? 0) + chunk.byteLength);
    }
  }
  const pins = (chunk: Uint8Array): boolean =>
    chunk.buffer.byteLength > 2 * (heldBytes.get(chunk.buffer) ?? 0) + SMALL_BATCH_BYTES;
  return batches.map((batch) =>
    batch.chunks.some(pins)
      ? { ...batch, chunks: batch.chunks.map((chunk) => (pins(chunk) ? new Uint8Array(chunk) : chunk)) }
      : batch,
  );
}
