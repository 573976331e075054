/** Generators of records and batches for the property tests of this package. */
import * as fc from "fast-check";
import { BatchBuilder, type BatchOptions } from "./batch-builder.ts";
import { COMPRESSIONS, type Compression } from "./compression.ts";
import { plainView } from "./int.ts";
import type { RecordHeader, RecordInput } from "./record.ts";

const MAX_INT32 = 0x7fff_ffff;

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map(plainView),
  // Something to compress, across the lengths where a varint grows.
  fc
    .tuple(fc.nat({ max: 20_000 }), fc.nat({ max: 255 }))
    .map(([length, byte]) => new Uint8Array(length).fill(byte)),
);
const nullableBytes = fc.option(bytes, { nil: null, freq: 4 });

const timestampMs = fc.oneof(
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
  fc.constantFrom(-1, 0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);

const header: fc.Arbitrary<RecordHeader> = fc.record({
  key: fc.string({ unit: "binary", maxLength: 12 }),
  value: fc.option(fc.uint8Array({ maxLength: 12 }).map(plainView), { nil: null }),
});

export const record: fc.Arbitrary<Required<RecordInput>> = fc.record({
  timestampMs,
  key: nullableBytes,
  value: nullableBytes,
  headers: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(header, { maxLength: 5 })),
});

export const compression: fc.Arbitrary<Compression> = fc.constantFrom(...COMPRESSIONS);

const producer = fc.oneof(
  fc.constant({}),
  fc.record({
    producerId: fc.maxSafeNat(),
    producerEpoch: fc.nat({ max: 0x7fff }),
    baseSequence: fc.nat({ max: MAX_INT32 }),
    isTransactional: fc.boolean(),
    isControl: fc.boolean(),
  }),
);

const options: fc.Arbitrary<BatchOptions> = fc
  .tuple(
    fc.record({
      compression,
      baseOffset: fc.oneof(
        fc.nat(),
        fc.constant(Number.MAX_SAFE_INTEGER - MAX_INT32),
        fc.maxSafeNat().map((offset) => Math.floor(offset / 2)),
      ),
      partitionLeaderEpoch: fc.integer({ min: -1, max: MAX_INT32 }),
    }),
    producer,
    fc.option(fc.record({ deleteHorizonMs: fc.maxSafeNat() }), { nil: {} }),
    fc.option(
      fc.record({
        timestampType: fc.constant("LogAppendTime" as const),
        logAppendTimeMs: fc.maxSafeNat(),
      }),
      { nil: {} },
    ),
  )
  .map(([base, ...others]) => Object.assign({}, base, ...others) as BatchOptions);

export interface SampleBatch {
  readonly options: BatchOptions;
  readonly records: readonly Required<RecordInput>[];
  readonly offsetDeltas: readonly number[];
  readonly bytes: Uint8Array;
}

/** Batches of every kind, dense or with gaps as compaction leaves them. */
export const batch: fc.Arbitrary<SampleBatch> = fc
  .tuple(
    options,
    fc.array(record, { minLength: 1, maxLength: 20 }),
    fc.oneof(fc.constant(0), fc.nat({ max: 1000 }), fc.constant(Math.floor(MAX_INT32 / 20) - 1)),
  )
  .map(([options, records, gap]) => {
    const builder = new BatchBuilder(options);
    const offsetDeltas = records.map((_, index) => index * (gap + 1));
    records.forEach((record, index) => {
      builder.append(record, offsetDeltas[index]);
    });
    return { options, records, offsetDeltas, bytes: builder.build() };
  });
