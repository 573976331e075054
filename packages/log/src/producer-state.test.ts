import { addToSequence, encodeBatch, readBatchHeader } from "@ottla/records";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ProducerEntry } from "./producer-entry.ts";
import { decodeProducerSnapshot, encodeProducerSnapshot, SNAPSHOT_ENTRY_BYTES } from "./producer-snapshot.ts";
import { ProducerState } from "./producer-state.ts";
import { refusalOf } from "./test-log.ts";

const MAX_SEQUENCE = 2 ** 31 - 1;
const OPTIONS = { expirationMs: 1000, maxProducers: 100 };

function header(baseSequence: number, options: { count?: number; epoch?: number; producerId?: number } = {}) {
  const { count = 1, epoch = 0, producerId = 5 } = options;
  const records = Array.from({ length: count }, () => ({ timestampMs: 1, key: null, value: null }));
  return readBatchHeader(encodeBatch(records, { producerId, producerEpoch: epoch, baseSequence }));
}

/** Checks and, when accepted, notes a batch at `offset`. */
function append(state: ProducerState, batch: ReturnType<typeof header>, offset: number): string {
  const refusal = refusalOf(() => state.check(batch));
  if (refusal === "accepted") state.apply(batch, offset, 0);
  return refusal;
}

test("sequences follow on, without gaps and without going back", () => {
  const state = new ProducerState(OPTIONS);
  expect(append(state, header(0, { count: 3 }), 0)).toBe("accepted");
  expect(append(state, header(4), 3)).toBe("OUT_OF_ORDER_SEQUENCE_NUMBER");
  expect(append(state, header(2), 3)).toBe("OUT_OF_ORDER_SEQUENCE_NUMBER");
  expect(append(state, header(3), 3)).toBe("accepted");
});

test("a producer that the log does not know may begin with any sequence (KIP-360)", () => {
  expect(append(new ProducerState(OPTIONS), header(77), 0)).toBe("accepted");
});

test("a new epoch begins with 0 and shuts the old one out", () => {
  const state = new ProducerState(OPTIONS);
  append(state, header(0), 0);
  expect(append(state, header(1, { epoch: 1 }), 1)).toBe("OUT_OF_ORDER_SEQUENCE_NUMBER");
  expect(append(state, header(0, { epoch: 1 }), 1)).toBe("accepted");
  expect(append(state, header(1, { epoch: 0 }), 2)).toBe("INVALID_PRODUCER_EPOCH");
  expect(state.findDuplicate(header(0, { epoch: 0 }))).toBeUndefined();
});

test("after sequence 2^31 - 1 comes 0", () => {
  const state = new ProducerState(OPTIONS);
  append(state, header(MAX_SEQUENCE - 1), 0);
  const wrapping = header(MAX_SEQUENCE, { count: 3 });
  expect(append(state, wrapping, 1)).toBe("accepted");
  expect(state.findDuplicate(wrapping)).toMatchObject({ baseOffset: 1, lastOffset: 3 });
  expect(append(state, header(2), 4)).toBe("accepted");
});

test("exactly the last five batches are recognised", () => {
  const state = new ProducerState(OPTIONS);
  for (let index = 0; index < 8; index += 1) append(state, header(index * 2, { count: 2 }), index * 10);
  for (let index = 0; index < 8; index += 1) {
    const known = state.findDuplicate(header(index * 2, { count: 2 }));
    expect(known?.baseOffset).toBe(index < 3 ? undefined : index * 10);
  }
  expect(state.findDuplicate(header(14, { count: 1 }))).toBeUndefined();
});

test("undo restores what was there, the evicted included", () => {
  const state = new ProducerState({ ...OPTIONS, maxProducers: 2 });
  append(state, header(0, { producerId: 1 }), 0);
  append(state, header(0, { producerId: 2 }), 1);
  const before = new Map([...state.entries()].map((entry) => [entry.producerId, entry]));
  const undo = state.apply(header(0, { producerId: 3 }), 2, 0);
  expect([...state.entries()].map(({ producerId }) => producerId)).toEqual([2, 3]);
  state.undo(undo, 0);
  expect(new Map([...state.entries()].map((entry) => [entry.producerId, entry]))).toEqual(before);
});

test("producers not seen for long are forgotten; records' timestamps do not count", () => {
  const state = new ProducerState(OPTIONS);
  state.apply(header(0, { producerId: 1 }), 0, 5000);
  state.apply(header(0, { producerId: 2 }), 1, 5500);
  expect(state.expire(5999)).toBe(0);
  expect(state.expire(6000)).toBe(1);
  expect(state.get(1)).toBeUndefined();
  expect(state.get(2)).toBeDefined();
});

const entries: fc.Arbitrary<ProducerEntry[]> = fc.uniqueArray(
  fc
    .record({
      producerId: fc.nat(),
      producerEpoch: fc.nat(32_767),
      coordinatorEpoch: fc.integer({ min: -1, max: 100 }),
      transactionFirstOffset: fc.integer({ min: -1, max: 1000 }),
      batches: fc.array(
        fc.record({
          lastSequence: fc.nat(MAX_SEQUENCE),
          lastOffset: fc.maxSafeNat(),
          offsetDelta: fc.nat(1000),
          timestampMs: fc.maxSafeNat(),
        }),
        { maxLength: 5 },
      ),
    })
    .map((entry) => ({ ...entry, lastTimestampMs: entry.batches.at(-1)?.timestampMs ?? 3 })),
  { selector: ({ producerId }) => producerId },
);

test("a snapshot gives back what was written, and no damage goes unnoticed", () => {
  fc.assert(
    fc.property(entries, fc.nat(), (entries, place) => {
      const bytes = encodeProducerSnapshot(entries);
      expect(decodeProducerSnapshot(bytes)).toEqual(entries);
      const damaged = new Uint8Array(bytes);
      const at = place % damaged.byteLength;
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      expect(decodeProducerSnapshot(damaged)).toHaveProperty("damage");
      expect(decodeProducerSnapshot(bytes.subarray(0, at))).toHaveProperty("damage");
    }),
  );
});

test("one row for each remembered batch, in Kafka's layout", () => {
  const batch = { lastSequence: 9, lastOffset: 300, offsetDelta: 4, timestampMs: 77 };
  const entry: ProducerEntry = {
    producerId: 5,
    producerEpoch: 2,
    coordinatorEpoch: -1,
    lastTimestampMs: 77,
    transactionFirstOffset: -1,
    batches: [batch, { ...batch, lastSequence: 10, lastOffset: 301 }],
  };
  const bytes = encodeProducerSnapshot([entry]);
  const view = new DataView(bytes.buffer);
  expect(bytes.byteLength).toBe(10 + 2 * SNAPSHOT_ENTRY_BYTES);
  expect([view.getInt16(0), view.getInt32(6)]).toEqual([1, 2]);
  expect([view.getBigInt64(10), view.getInt16(18), view.getInt32(20)]).toEqual([5n, 2, 9]);
  expect([view.getBigInt64(24), view.getInt32(32), view.getBigInt64(36)]).toEqual([300n, 4, 77n]);
  expect([view.getInt32(44), view.getBigInt64(48)]).toEqual([-1, -1n]);
  expect(addToSequence(9, 1)).toBe(10);
});
