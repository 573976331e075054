import { expect, test } from "vitest";
import { encodeBatch } from "./batch-builder.ts";
import { validateBatch } from "./batch-header.ts";
import { decodeControlBatch, encodeControlBatch } from "./control-batch.ts";

test("a control record that Kafka does not know keeps its number and its value", () => {
  const record = { type: "other", typeId: 1000, value: Uint8Array.of(1, 2) } as const;
  const batch = encodeControlBatch(record, { timestampMs: 5, baseOffset: 8 });
  expect(validateBatch(batch)).toMatchObject({ isControl: true, isTransactional: false, producerId: -1 });
  expect(decodeControlBatch(batch)).toEqual(record);
});

test("the control batch that an owner of a single-writer log begins with says its epoch", () => {
  const record = { type: "owner", ownerEpoch: 2 ** 40 } as const;
  const batch = encodeControlBatch(record, { timestampMs: 5 });
  expect(validateBatch(batch)).toMatchObject({ isControl: true, isTransactional: false, producerId: -1 });
  expect(decodeControlBatch(batch)).toEqual(record);
});

test("a transaction marker needs the producer that it ends", () => {
  expect(() => encodeControlBatch({ type: "commit", coordinatorEpoch: 1 }, { timestampMs: 5 })).toThrow(
    "producer id -1",
  );
});

test.each([
  ["no key", null, Uint8Array.of(0, 0, 0, 0, 0, 0), "key is too short"],
  ["a short key", Uint8Array.of(0, 0, 0), null, "key is too short"],
  ["a negative key version", Uint8Array.of(255, 255, 0, 0), null, "key is too short"],
  ["a marker without a value", Uint8Array.of(0, 0, 0, 1), null, "marker is too short"],
  ["a marker with a short value", Uint8Array.of(0, 0, 0, 0), Uint8Array.of(0, 0, 1), "marker is too short"],
  ["an owner without an epoch", Uint8Array.of(0, 0, 79, 84), null, "fence is too short"],
  [
    "a negative owner epoch",
    Uint8Array.of(0, 0, 79, 84),
    Uint8Array.of(0, 0, 255, 255, 255, 255, 255, 255, 255, 255),
    "out of range",
  ],
])("a control record with %s is refused", (_name, key, value, message) => {
  const batch = encodeBatch([{ timestampMs: 1, key, value }], { isControl: true });
  expect(() => decodeControlBatch(batch)).toThrow(message);
});

test("a data batch is not taken for a control batch", () => {
  const batch = encodeBatch([{ timestampMs: 1, key: null, value: null }]);
  expect(() => decodeControlBatch(batch)).toThrow("not a control batch");
});
