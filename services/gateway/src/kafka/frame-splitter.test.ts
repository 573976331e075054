import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FrameSplitter } from "./frame-splitter.ts";

function framed(frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(frame.byteLength);
      return [length, Buffer.from(frame)];
    }),
  );
}

test("frames come out whole and in order however the stream is cut", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
  const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(frames, cuts, (sent, sizes) => {
      const stream = framed(sent);
      const splitter = new FrameSplitter(1000);
      const received: Buffer[] = [];
      let position = 0;
      for (let turn = 0; position < stream.byteLength; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        splitter.push(stream.subarray(position, position + size), (frame) =>
          received.push(Buffer.from(frame)),
        );
        position += size;
      }
      expect(received).toEqual(sent.map((frame) => Buffer.from(frame)));
      expect(splitter.partialBytes).toBe(0);
    }),
  );
});

test("a length beyond the limit or below zero is refused before anything is allocated for it", () => {
  const negative = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  expect(() => new FrameSplitter(1000).push(negative, () => undefined)).toThrow("-1 bytes");
  const large = Buffer.from([0, 0, 0x03, 0xe9]);
  expect(() => new FrameSplitter(1000).push(large, () => undefined)).toThrow(
    "larger than kafka.max-request-bytes (1000)",
  );
});

test("a frame that is larger than the first allocation is put together byte for byte", () => {
  const frame = Buffer.alloc(5 << 20, "abcdefg");
  const stream = framed([frame]);
  const received: Uint8Array[] = [];
  const splitter = new FrameSplitter(10 << 20);
  for (let position = 0; position < stream.byteLength; position += 65_536) {
    splitter.push(stream.subarray(position, position + 65_536), (whole) => received.push(whole));
  }
  expect(received).toHaveLength(1);
  expect(frame.equals(received[0] ?? Buffer.alloc(0))).toBe(true);
});
