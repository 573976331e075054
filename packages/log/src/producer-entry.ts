/** How many batches of each producer are remembered, so that a retry of any of them is recognised (R11). */
export const MAX_REMEMBERED_BATCHES = 5;

const MAX_SEQUENCE = 0x7fff_ffff;

export interface ProducerBatch {
  readonly lastSequence: number;
  readonly lastOffset: number;
  /** Last offset minus base offset. */
  readonly offsetDelta: number;
  /** The batch's largest timestamp. */
  readonly timestampMs: number;
}

/** What a partition remembers of one producer. Never changed in place, so that an append can be undone. */
export interface ProducerEntry {
  readonly producerId: number;
  readonly producerEpoch: number;
  /** Of the last transaction marker; -1 when there was none. */
  readonly coordinatorEpoch: number;
  readonly lastTimestampMs: number;
  /** Where the open transaction began; -1 when there is none. */
  readonly transactionFirstOffset: number;
  /** The newest last, all of the current epoch. */
  readonly batches: readonly ProducerBatch[];
}

export function baseOffsetOf(batch: ProducerBatch): number {
  return batch.lastOffset - batch.offsetDelta;
}

export function baseSequenceOf(batch: ProducerBatch): number {
  const sequence = batch.lastSequence - batch.offsetDelta;
  return sequence >= 0 ? sequence : sequence + MAX_SEQUENCE + 1;
}

/** Sequences wrap to 0 after 2^31 - 1. */
export function nextSequence(sequence: number): number {
  return sequence === MAX_SEQUENCE ? 0 : sequence + 1;
}
