import * as fc from "fast-check";
import { expect, test } from "vitest";
import { RecordBuffer, varintSize, varlongSize } from "./record-buffer.ts";

/** The definition of a zigzag varint, slowly, in whole integers. */
function referenceVarlong(value: number): number[] {
  const zigzag = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  const bytes: number[] = [];
  let rest = zigzag;
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return bytes;
}

const int32Edges = [-1, 0, 1].flatMap((step) =>
  [0, 2 ** 6, 2 ** 13, 2 ** 20, 2 ** 27, -(2 ** 6), -(2 ** 27)].map((edge) => edge + step),
);

test("varints are those of the definition", () => {
  const value = fc.oneof(fc.integer(), fc.constantFrom(...int32Edges, 2 ** 31 - 1, -(2 ** 31)));
  fc.assert(
    fc.property(value, (value) => {
      const buffer = new RecordBuffer(16, 0);
      buffer.writeVarint(value);
      expect([...buffer.copy()]).toEqual(referenceVarlong(value));
      expect(varintSize(value)).toBe(buffer.position);
    }),
    { numRuns: 1000 },
  );
});

test("varlongs are those of the definition", () => {
  const edges = Array.from({ length: 22 }, (_, index) => 2 ** (31 + index)).flatMap((edge) => [
    edge,
    edge - 1,
    -edge,
    -edge - 1,
  ]);
  const value = fc.oneof(
    fc.maxSafeInteger(),
    fc.constantFrom(...edges.filter(Number.isSafeInteger), 2 ** 53),
  );
  fc.assert(
    fc.property(value, (value) => {
      const buffer = new RecordBuffer(16, 0);
      buffer.writeVarlong(value);
      expect([...buffer.copy()]).toEqual(referenceVarlong(value));
      expect(varlongSize(value)).toBe(buffer.position);
    }),
    { numRuns: 1000 },
  );
});

test("growing keeps what was written", () => {
  const buffer = new RecordBuffer(1, 0);
  for (let byte = 0; byte < 200; byte++) {
    buffer.reserve(1);
    buffer.writeByte(byte);
  }
  expect([...buffer.copy()]).toEqual(Array.from({ length: 200 }, (_, byte) => byte));
});
