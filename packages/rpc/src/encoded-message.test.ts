import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ReplicateResponseSchema } from "@ottla/proto/ottla/internal/v1/replication";
import { AppendRequestSchema } from "@ottla/proto/ottla/internal/v1/storage";
import { ReadResponseSchema } from "@ottla/proto/ottla/v1/log";
import { array, assert, integer, nat, oneof, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { BytesInPieces, joinPieces } from "./bytes-in-pieces.ts";
import { encodeMessage } from "./encoded-message.ts";

const chunk = oneof(
  uint8Array({ maxLength: 200 }),
  integer({ min: 0, max: 70_000 }).map((length) => new Uint8Array(length).fill(length)),
);

test("a message with bulk reads back as it was, whether it was a message or the fields of one", () => {
  assert(
    property(array(chunk, { maxLength: 8 }), array(nat(), { maxLength: 4 }), (batches, indexes) => {
      const answers = indexes.map((index) => ({ index, highWatermark: 7n }));
      for (const message of [{ answers, batches }, create(ReplicateResponseSchema, { answers, batches })]) {
        const before = [...batches];
        const bytes = encodeMessage(ReplicateResponseSchema, message).toBytes();
        const decoded = fromBinary(ReplicateResponseSchema, bytes);
        expect(decoded).toEqual(create(ReplicateResponseSchema, { answers, batches }));
        expect(message.batches).toEqual(before);
      }
    }),
    { numRuns: 50 },
  );
});

test("bytes in pieces arrive in one, over the wire and within the process", () => {
  const pieces = [new Uint8Array(5).fill(1), new Uint8Array(0), new Uint8Array(6_000).fill(2)];
  const message = { answers: [{ index: 4 }], batches: [new BytesInPieces(pieces), new Uint8Array(3)] };
  const whole = create(ReplicateResponseSchema, {
    answers: [{ index: 4 }],
    batches: [Uint8Array.from(Buffer.concat(pieces)), new Uint8Array(3)],
  });
  const bytes = encodeMessage(ReplicateResponseSchema, message).toBytes();
  expect(fromBinary(ReplicateResponseSchema, bytes)).toEqual(whole);
  expect(create(ReplicateResponseSchema, joinPieces(ReplicateResponseSchema, message))).toEqual(whole);
  // A few bytes too, which would otherwise be left to protobuf-es.
  const small = encodeMessage(ReplicateResponseSchema, { batches: [new BytesInPieces([Uint8Array.of(1)])] });
  expect(fromBinary(ReplicateResponseSchema, small.toBytes()).batches).toEqual([Uint8Array.of(1)]);
});

test("one field of bytes beside others reads back as it was", () => {
  const message = { batches: new Uint8Array(5_000).fill(3), nextOffset: 9n };
  const decoded = fromBinary(ReadResponseSchema, encodeMessage(ReadResponseSchema, message).toBytes());
  expect(decoded).toEqual(create(ReadResponseSchema, message));
});

test("a small message is what protobuf-es makes of it", () => {
  const message = create(AppendRequestSchema, { batches: [new Uint8Array(100)] });
  expect(encodeMessage(AppendRequestSchema, message).toBytes()).toEqual(
    toBinary(AppendRequestSchema, message),
  );
});

test("the memory of a large frame is given back, that of a shared one left alone", () => {
  const large = encodeMessage(AppendRequestSchema, { batches: [new Uint8Array(100_000)] });
  const frame = Buffer.allocUnsafeSlow(large.byteLength + 5);
  expect(large.copy(frame, 5)).toBe(large.byteLength);
  large.release();
  expect(frame.buffer.byteLength).toBe(0);

  const shared = Buffer.allocUnsafeSlow(200_000).subarray(100, 100 + large.byteLength + 5);
  large.copy(shared, 5);
  large.release();
  expect(shared.buffer.byteLength).toBe(200_000);
});
