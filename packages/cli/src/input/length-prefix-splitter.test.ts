import { array, assert, integer, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { LengthPrefixSplitter } from "./length-prefix-splitter.ts";

function prefixed(values: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(value.length);
      return [length, Buffer.from(value)];
    }),
  );
}

test("values are the same however the input is cut into chunks", () => {
  assert(
    property(array(uint8Array({ maxLength: 20 })), integer({ min: 1, max: 9 }), (values, step) => {
      const input = prefixed(values);
      const splitter = new LengthPrefixSplitter(100);
      const found: Uint8Array[] = [];
      for (let position = 0; position < input.length; position += step) {
        for (const value of splitter.split(input.subarray(position, position + step)))
          found.push(Uint8Array.from(value));
      }
      expect(splitter.end()).toBeUndefined();
      expect(found).toEqual(values);
    }),
  );
});

test("a length over the limit and an input that ends early are refused", () => {
  const splitter = new LengthPrefixSplitter(100);
  expect(() => Array.from(splitter.split(Uint8Array.of(255, 255, 255, 255)))).toThrow("4294967295 bytes");
  const other = new LengthPrefixSplitter(100);
  expect(Array.from(other.split(Uint8Array.of(0, 0, 0, 5, 1)))).toEqual([]);
  expect(() => other.end()).toThrow("5 bytes into value 1");
});
