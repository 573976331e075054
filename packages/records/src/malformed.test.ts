import { OttlaError } from "@ottla/errors";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as arbitraries from "./arbitraries.ts";
import { readBatchHeader, splitBatches, validateBatch, writeCrc } from "./batch-header.ts";
import { decompress } from "./codecs/codec.ts";
import { decodeControlBatch } from "./control-batch.ts";
import { decodeBatches, decodeRecords } from "./decode-records.ts";
import { transcodeBatch } from "./transcode-batch.ts";
import { validateRecords } from "./validate-records.ts";

const MAX_DECOMPRESSED_BYTES = 2 ** 20;
const RUNS = 250;

const REFUSALS = ["CORRUPT_MESSAGE", "INVALID_RECORD", "INVALID_TIMESTAMP", "UNSUPPORTED_COMPRESSION_TYPE"];

/** Nothing when the bytes were read, else the code they were refused with. Any other error is a finding. */
function refusalOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof OttlaError) return error.code;
    throw error;
  }
}

/** Runs everything that reads batches and returns the refusals that none may give. */
function wrongRefusals(bytes: Uint8Array): string[] {
  const options = { maxDecompressedBytes: MAX_DECOMPRESSED_BYTES };
  const readers: (() => unknown)[] = [
    () => readBatchHeader(bytes),
    () => validateBatch(bytes),
    () => splitBatches(bytes),
    () => [...decodeRecords(bytes, options)],
    () => [...decodeBatches(bytes, options)],
    () => validateRecords(bytes, options),
    () => transcodeBatch(bytes, "lz4", options),
    () => decodeControlBatch(bytes),
  ];
  const refusals = readers.map(refusalOf).filter((code) => code !== undefined);
  return refusals.filter((code) => !REFUSALS.includes(code));
}

interface Edit {
  readonly at: number;
  readonly byte: number;
}

const edits = fc.array(fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) }), {
  minLength: 1,
  maxLength: 6,
});

function applyEdits(bytes: Uint8Array, edits: readonly Edit[], from: number): Uint8Array {
  const damaged = bytes.slice();
  for (const { at, byte } of edits) damaged[from + (at % (bytes.length - from))] = byte;
  return damaged;
}

describe("damaged batches are refused with a typed error, or read, and nothing else", () => {
  test("with any bytes changed", () => {
    fc.assert(
      fc.property(arbitraries.batch, edits, ({ bytes }, edits) => {
        expect(wrongRefusals(applyEdits(bytes, edits, 0))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("with the payload changed under a right CRC, as a faulty producer sends it", () => {
    fc.assert(
      fc.property(arbitraries.batch, edits, ({ bytes }, edits) => {
        const damaged = applyEdits(bytes, edits, 61);
        writeCrc(damaged);
        expect(wrongRefusals(damaged)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("with the header's fields changed under a right CRC", () => {
    fc.assert(
      fc.property(arbitraries.batch, edits, ({ bytes }, edits) => {
        const damaged = bytes.slice();
        for (const { at, byte } of edits) damaged[21 + (at % 40)] = byte;
        writeCrc(damaged);
        expect(wrongRefusals(damaged)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("with every byte after some point missing", () => {
    fc.assert(
      fc.property(arbitraries.batch, fc.nat(), ({ bytes }, at) => {
        const cut = bytes.subarray(0, at % bytes.length);
        expect(() => validateBatch(cut)).toThrow(OttlaError);
        expect(wrongRefusals(cut)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("with the end of one batch on the start of another", () => {
    fc.assert(
      fc.property(arbitraries.batch, arbitraries.batch, fc.nat(), fc.nat(), (one, other, first, second) => {
        const head = one.bytes.subarray(0, first % one.bytes.length);
        const tail = other.bytes.subarray(second % other.bytes.length);
        expect(wrongRefusals(new Uint8Array(Buffer.concat([head, tail])))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("with random bytes as compressed payload", () => {
    const payload = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(arbitraries.compression, payload, (compression, payload) => {
        let sizeBytes = 0;
        const refusal = refusalOf(() => {
          sizeBytes = decompress(compression, payload, 1000).length;
        });
        expect(sizeBytes).toBeLessThanOrEqual(1000);
        expect([undefined, "INVALID_RECORD"]).toContain(refusal);
      }),
      { numRuns: RUNS },
    );
  });
});

test("one flipped bit anywhere is noticed by the CRC, the prefix apart", () => {
  fc.assert(
    fc.property(arbitraries.batch, fc.nat(), fc.nat({ max: 7 }), ({ bytes }, at, bit) => {
      const damaged = bytes.slice();
      const position = 17 + (at % (bytes.length - 17));
      damaged[position] = (damaged[position] ?? 0) ^ (1 << bit);
      expect(() => validateBatch(damaged)).toThrow(/CRC-32C is 0x[0-9a-f]{8}, the batch says 0x[0-9a-f]{8}/);
    }),
    { numRuns: RUNS },
  );
});
