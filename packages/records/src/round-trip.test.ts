import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as arbitraries from "./arbitraries.ts";
import { BatchBuilder, encodeBatch } from "./batch-builder.ts";
import { splitBatches, validateBatch } from "./batch-header.ts";
import { decodeBatches, decodeRecords } from "./decode-records.ts";
import { recordSizeUpperBound } from "./record-writer.ts";
import { transcodeBatch } from "./transcode-batch.ts";
import { validateRecords } from "./validate-records.ts";

function expectedRecords({ options, records, offsetDeltas }: arbitraries.SampleBatch): unknown[] {
  const isLogAppendTime = options.timestampType === "LogAppendTime";
  return records.map((record, index) => ({
    ...record,
    headers: record.headers.map((header) => ({ ...header, key: header.key.toWellFormed() })),
    timestampMs: isLogAppendTime ? options.logAppendTimeMs : record.timestampMs,
    offset: (options.baseOffset ?? 0) + (offsetDeltas[index] ?? 0),
  }));
}

describe("what is encoded", () => {
  test("comes back record for record, under every codec and flag", () => {
    fc.assert(
      fc.property(arbitraries.batch, (sample) => {
        const { options, bytes } = sample;
        const header = validateBatch(bytes);
        expect(header).toMatchObject({
          sizeBytes: bytes.length,
          baseOffset: options.baseOffset,
          partitionLeaderEpoch: options.partitionLeaderEpoch,
          recordCount: sample.records.length,
          lastOffsetDelta: sample.offsetDeltas.at(-1),
          compression: options.compression,
          timestampType: options.timestampType ?? "CreateTime",
          producerId: options.producerId ?? -1,
          producerEpoch: options.producerEpoch ?? -1,
          baseSequence: options.baseSequence ?? -1,
          isTransactional: options.isTransactional ?? false,
          isControl: options.isControl ?? false,
          hasDeleteHorizon: options.deleteHorizonMs !== undefined,
        });
        expect([...decodeRecords(bytes)]).toEqual(expectedRecords(sample));
      }),
      { numRuns: 200 },
    );
  });

  test("keeps all but its codec when it is transcoded", () => {
    fc.assert(
      fc.property(arbitraries.batch, arbitraries.compression, (sample, compression) => {
        const transcoded = transcodeBatch(sample.bytes, compression);
        const before = validateBatch(sample.bytes);
        const after = validateBatch(transcoded);
        expect(after.sizeBytes).toBe(transcoded.length);
        const { batchLength, sizeBytes, crc, attributes } = after;
        expect(after).toEqual({ ...before, compression, batchLength, sizeBytes, crc, attributes });
        expect([...decodeRecords(transcoded)]).toEqual(expectedRecords(sample));
        const again = transcodeBatch(transcoded, before.compression);
        expect([...decodeRecords(again)]).toEqual(expectedRecords(sample));
      }),
      { numRuns: 60 },
    );
  });

  test("passes the deep check, which finds the largest timestamp and its first offset", () => {
    fc.assert(
      fc.property(arbitraries.batch, (sample) => {
        const records = [...decodeRecords(sample.bytes)];
        const maxTimestampMs = Math.max(...records.map((record) => record.timestampMs));
        const first = records.find((record) => record.timestampMs === maxTimestampMs);
        expect(validateRecords(sample.bytes)).toEqual({
          recordCount: sample.records.length,
          maxTimestampMs,
          offsetOfMaxTimestamp: first?.offset,
        });
      }),
      { numRuns: 60 },
    );
  });

  test("never grows past the size announced before", () => {
    fc.assert(
      fc.property(fc.array(arbitraries.record, { minLength: 1, maxLength: 10 }), (records) => {
        const builder = new BatchBuilder();
        for (const record of records) {
          const before = builder.sizeBytes;
          const upperBound = recordSizeUpperBound(record);
          expect(builder.hasRoomFor(record, before + upperBound)).toBe(true);
          expect(builder.hasRoomFor(record, before + upperBound - 1)).toBe(false);
          expect(builder.append(record)).toBeLessThanOrEqual(before + upperBound);
        }
        expect(builder.build().length).toBe(builder.sizeBytes);
      }),
      { numRuns: 60 },
    );
  });

  test("is found batch by batch where several follow one another", () => {
    fc.assert(
      fc.property(fc.array(arbitraries.batch, { maxLength: 4 }), (samples) => {
        const bytes = new Uint8Array(Buffer.concat(samples.map((sample) => sample.bytes)));
        let position = 0;
        for (const header of splitBatches(bytes)) {
          expect(header.position).toBe(position);
          position += header.sizeBytes;
        }
        expect([...decodeBatches(bytes)]).toEqual(samples.flatMap(expectedRecords));
      }),
      { numRuns: 60 },
    );
  });
});

describe("a builder", () => {
  test("builds the same again after it was reset", () => {
    fc.assert(
      fc.property(fc.array(arbitraries.record, { minLength: 1 }), (records) => {
        const builder = new BatchBuilder();
        builder.append({ timestampMs: 1, key: null, value: new Uint8Array(10_000) });
        builder.reset();
        for (const record of records) builder.append(record);
        expect(builder.build()).toEqual(encodeBatch(records));
      }),
      { numRuns: 50 },
    );
  });
});
