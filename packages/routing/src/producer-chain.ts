import type { PendingAppend } from "./pending-append.ts";

// Positions in Kafka's record batch format v2.
const PRODUCER_ID_POSITION = 43;
const PRODUCER_EPOCH_POSITION = 51;
const BASE_SEQUENCE_POSITION = 53;
const HEADER_BYTES = 61;

interface Place {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

/**
 * The later appends that count on `failed` being stored: those of its producer, up to where a client that
 * came back has begun to send its batches again, at this one or before it.
 */
export function followersOf(failed: PendingAppend, appends: readonly PendingAppend[]): PendingAppend[] {
  const place = failed.options.idempotent ? placeOf(failed.options.batch) : undefined;
  if (place === undefined) return [];
  const followers: PendingAppend[] = [];
  for (let index = appends.indexOf(failed) + 1; index < appends.length; index += 1) {
    const later = appends[index];
    const other = later?.options.idempotent === true ? placeOf(later.options.batch) : undefined;
    if (later === undefined || other?.producerId !== place.producerId) continue;
    if (!isAfter(other, place)) break;
    followers.push(later);
  }
  return followers;
}

/** Sequences wrap to 0 after 2^31 - 1. */
function isAfter(later: Place, earlier: Place): boolean {
  const distance = (later.baseSequence - earlier.baseSequence) & 0x7fff_ffff;
  return later.producerEpoch === earlier.producerEpoch && distance > 0 && distance < 0x4000_0000;
}

function placeOf(batch: Uint8Array): Place | undefined {
  if (batch.length < HEADER_BYTES) return undefined;
  const view = new DataView(batch.buffer, batch.byteOffset, HEADER_BYTES);
  return {
    producerId: view.getBigInt64(PRODUCER_ID_POSITION),
    producerEpoch: view.getInt16(PRODUCER_EPOCH_POSITION),
    baseSequence: view.getInt32(BASE_SEQUENCE_POSITION),
  };
}
