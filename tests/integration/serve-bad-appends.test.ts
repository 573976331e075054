import { systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import {
  type BadCall,
  INVALID,
  INVALID_NAME,
  LONG_NAME,
  sharedNode,
  testBadCalls,
  UNKNOWN,
  unknownEnum,
} from "./serve-bad-call.ts";
import { batchOf, bytes, readAll } from "./serve-support.ts";

const RECORDS = recordsOf(bytes("v"));
const TOO_LARGE = recordsOf(new Uint8Array(1_100_000));

function recordsOf(value: Uint8Array) {
  return { case: "records" as const, value: { records: [{ value }] } };
}

function damaged(position: number, change: (byte: number) => number): Uint8Array {
  const batch = Uint8Array.from(batchOf(["a", "b"]));
  batch[position] = change(batch[position] ?? 0);
  return batch;
}

const APPENDS: BadCall[] = [
  {
    what: "append: empty topic",
    call: (log) => log.append({ partition: 0, payload: RECORDS }),
    ...INVALID_NAME,
    field: "topic",
  },
  {
    what: "append: topic name too long",
    call: (log) => log.append({ topic: LONG_NAME, partition: 0, payload: RECORDS }),
    ...INVALID_NAME,
    field: "topic",
    limit: "249",
  },
  {
    what: "append: topic name with a slash",
    call: (log) => log.append({ topic: "../etc", partition: 0, payload: RECORDS }),
    ...INVALID_NAME,
    field: "topic",
  },
  {
    what: "append: unknown topic is not created",
    call: (log) => log.append({ topic: "nope", partition: 0, payload: RECORDS }),
    ...UNKNOWN,
    field: "topic",
  },
  {
    what: "append: partition beyond the topic",
    call: (log) => log.append({ topic: "t", partition: 2, payload: RECORDS }),
    ...UNKNOWN,
    field: "partition",
    limit: "1",
  },
  {
    what: "append: negative partition",
    call: (log) => log.append({ topic: "t", partition: -1, payload: RECORDS }),
    ...INVALID,
    field: "partition",
    limit: "0",
  },
  {
    what: "append: acks that do not exist",
    call: (log) => log.append({ topic: "t", partition: 0, acks: unknownEnum(9), payload: RECORDS }),
    code: "INVALID_REQUIRED_ACKS",
    field: "acks",
  },
  {
    what: "append: no payload",
    call: (log) => log.append({ topic: "t", partition: 0 }),
    ...INVALID,
    field: "payload",
  },
  {
    what: "append: no records",
    call: (log) => log.append({ topic: "t", partition: 0, payload: { case: "records", value: {} } }),
    ...INVALID,
    field: "records",
    limit: "1",
  },
  {
    what: "append: a compression that does not exist",
    call: (log) => {
      const value = { records: [{}], compression: unknownEnum(17) };
      return log.append({ topic: "t", partition: 0, payload: { case: "records", value } });
    },
    code: "UNSUPPORTED_COMPRESSION_TYPE",
    field: "records.compression",
  },
  {
    what: "append: a time before 1970",
    call: (log) => {
      const records = [{ timestampMs: -5n }];
      return log.append({ topic: "t", partition: 0, payload: { case: "records", value: { records } } });
    },
    code: "INVALID_TIMESTAMP",
    field: "records[0].timestamp_ms",
  },
  {
    what: "append: a time far in the future",
    call: (log) => {
      const records = [{ timestampMs: BigInt(systemClock.now()) + 100_000_000n }];
      return log.append({ topic: "t", partition: 0, payload: { case: "records", value: { records } } });
    },
    code: "INVALID_TIMESTAMP",
  },
  {
    what: "append: too many headers",
    call: (log) => {
      const records = [{ headers: Array.from({ length: 1_001 }, () => ({ key: "h" })) }];
      return log.append({ topic: "t", partition: 0, payload: { case: "records", value: { records } } });
    },
    ...INVALID,
    field: "records[0].headers",
    limit: "1000",
  },
  {
    what: "append: a record over max.message.bytes",
    call: (log) => log.append({ topic: "t", partition: 0, payload: TOO_LARGE }),
    code: "MESSAGE_TOO_LARGE",
    field: "max.message.bytes",
    limit: "1048588",
  },
  {
    what: "append: a batch over max.message.bytes",
    call: (log) => {
      const value = batchOf(["x".repeat(1_100_000)]);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "MESSAGE_TOO_LARGE",
    limit: "1048588",
  },
  {
    what: "append: a batch without a partition",
    call: (log) => log.append({ topic: "t", payload: { case: "batch", value: batchOf(["a"]) } }),
    ...INVALID,
    field: "partition",
  },
  {
    what: "append: a condition without a partition",
    call: (log) => log.append({ topic: "t", expectedEndOffset: 0n, payload: RECORDS }),
    ...INVALID,
    field: "partition",
  },
  {
    what: "append: a negative condition",
    call: (log) => log.append({ topic: "t", partition: 0, expectedEndOffset: -1n, payload: RECORDS }),
    ...INVALID,
    field: "expected_end_offset",
    limit: "0",
  },
  {
    what: "append: an empty batch",
    call: (log) => {
      const value = new Uint8Array(0);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
  },
  {
    what: "append: a batch that is no batch",
    call: (log) => {
      const value = new Uint8Array(100).fill(7);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
  },
  {
    what: "append: a batch with a flipped bit",
    call: (log) => {
      const value = damaged(70, (byte) => byte ^ 1);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
  },
  {
    what: "append: a batch of an older message format",
    call: (log) => {
      // Byte 16 is the format's number.
      const value = damaged(16, () => 1);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
  },
  {
    what: "append: two batches at once",
    call: (log) => {
      const value = Buffer.concat([batchOf(["a"]), batchOf(["b"])]);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
    field: "batch",
  },
  {
    what: "append: a control batch",
    call: (log) => {
      const value = batchOf(["a"], { isControl: true, producerId: 1, producerEpoch: 0 });
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
    field: "batch",
  },
  {
    what: "append: a transactional batch",
    call: (log) => {
      const producer = { isTransactional: true, producerId: 1, producerEpoch: 0, baseSequence: 0 };
      const value = batchOf(["a"], producer);
      return log.append({ topic: "t", partition: 0, payload: { case: "batch", value } });
    },
    code: "INVALID_RECORD",
    field: "batch",
  },
];

const node = sharedNode();

testBadCalls(node, APPENDS);

test("the stream refuses batches one by one", async () => {
  const stream = node().log.produce();
  stream.send({ correlationId: 1n, topic: "a b", payload: RECORDS });
  stream.send({ correlationId: 2n, topic: "t", acks: unknownEnum(7), payload: RECORDS });
  stream.send({ correlationId: 3n, topic: "t" });
  stream.send({ correlationId: 4n, topic: "t", expectedEndOffset: -1n, payload: RECORDS });
  stream.send({ correlationId: 5n, topic: "t", payload: TOO_LARGE });
  stream.send({ correlationId: 6n, topic: "t", payload: { case: "batch", value: new Uint8Array(5) } });
  stream.end();
  const reasons: [bigint, string | undefined][] = [];
  for await (const { correlationId, outcome } of stream.received) {
    reasons.push([correlationId, outcome.case === "error" ? outcome.value.reason : undefined]);
  }
  expect(reasons.toSorted(([a], [b]) => Number(a - b))).toEqual([
    [1n, "INVALID_TOPIC_EXCEPTION"],
    [2n, "INVALID_REQUIRED_ACKS"],
    [3n, "INVALID_REQUEST"],
    [4n, "INVALID_REQUEST"],
    [5n, "MESSAGE_TOO_LARGE"],
    [6n, "INVALID_RECORD"],
  ]);
  expect(await readAll(node(), "t")).toEqual([]);
});
