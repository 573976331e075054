import { crc32c } from "@ottla/records";

/** Who sends a batch and where it stands among the sender's batches for the partition. */
export interface BatchIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

// Positions in Kafka's record batch format v2.
const CRC_POSITION = 17;
const CRC_COVERS_FROM = 21;
const PRODUCER_ID_POSITION = 43;
const PRODUCER_EPOCH_POSITION = 51;
const BASE_SEQUENCE_POSITION = 53;

/** Gives an encoded batch another identity, in place: what it holds stays, the CRC follows. */
export function stampBatch(batch: Uint8Array, identity: BatchIdentity): void {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  view.setBigInt64(PRODUCER_ID_POSITION, identity.producerId);
  view.setInt16(PRODUCER_EPOCH_POSITION, identity.producerEpoch);
  view.setInt32(BASE_SEQUENCE_POSITION, identity.baseSequence);
  view.setUint32(CRC_POSITION, crc32c(batch.subarray(CRC_COVERS_FROM)) >>> 0);
}
