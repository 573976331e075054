import { ERRORS } from "@ottla/errors";
import { fetch, initProducerId, produce } from "@ottla/kafka-protocol";
import { crc32c, encodeBatch, readBatchHeader, validateBatch } from "@ottla/records";
import { expect, test } from "vitest";
import {
  batchOf,
  connectKafka,
  createTopic,
  fetchRequest,
  offsetOf,
  produceBatch,
  startKafkaNode,
} from "./kafka-support.ts";

test("every version of Produce and every kind of acks stores a batch", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  for (let version = 3; version <= 12; version++) {
    const produced = await produceBatch(kafka, "t", batchOf(["a", "b"]), {
      version,
      acks: version % 2 === 0 ? 1 : -1,
    });
    expect(produced).toMatchObject({ errorCode: 0, baseOffset: (version - 3) * 2, logAppendTimeMs: -1 });
  }
  kafka.send(produce, 9, {
    acks: 0,
    timeoutMs: 1000,
    topicData: [{ name: "t", partitionData: [{ index: 0, records: batchOf(["none"]) }] }],
  });
  // The next answer belongs to the next request: acks=0 has none.
  const after = await produceBatch(kafka, "t", batchOf(["after"]));
  expect(after).toMatchObject({ errorCode: 0, baseOffset: 21 });
  expect((await offsetOf(kafka, "t", -1)).offset).toBe(22);
});

/** The batch with one field changed, and its CRC made right again. */
function withField(
  batch: Uint8Array,
  position: number,
  setter: "setInt8" | "setInt16" | "setInt32" | "setBigInt64",
  value: number | bigint,
): Uint8Array {
  const copy = Uint8Array.from(batch);
  const view = new DataView(copy.buffer);
  if (setter === "setBigInt64") view.setBigInt64(position, BigInt(value));
  else view[setter](position, Number(value));
  view.setUint32(17, crc32c(copy.subarray(21)));
  return copy;
}

test("what Kafka refuses is refused with Kafka's codes", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  await createTopic(kafka, "tiny", 1, { "max.message.bytes": "100" });
  const good = batchOf(["value"]);
  const damaged = Uint8Array.from(good, (byte, index) => (index === 70 ? byte ^ 1 : byte));
  const oldMagic = Uint8Array.from(good, (byte, index) => (index === 16 ? 1 : byte));
  const shifted = Uint8Array.from(good, (byte, index) => (index === 7 ? 1 : byte));
  const cases: [Uint8Array | null, string, Parameters<typeof produceBatch>[3], number][] = [
    [good, "t", { acks: 2 }, ERRORS.INVALID_REQUIRED_ACKS.kafka],
    [good, "missing", {}, ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka],
    [good, "t", { partition: 7 }, ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka],
    [good, "no such/name", {}, ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka],
    [null, "t", {}, ERRORS.INVALID_RECORD.kafka],
    [new Uint8Array(0), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [good.subarray(0, 9), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [good.subarray(0, 20), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [good.subarray(0, good.length - 1), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 0, "setBigInt64", -1n), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 57, "setInt32", -1), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 57, "setInt32", 0), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 61, "setInt8", 127), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 23, "setInt32", -1), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [withField(good, 16, "setInt8", 3), "t", {}, ERRORS.CORRUPT_MESSAGE.kafka],
    [withField(good, 16, "setInt8", 127), "t", {}, ERRORS.CORRUPT_MESSAGE.kafka],
    [withField(good, 16, "setInt8", -1), "t", {}, ERRORS.CORRUPT_MESSAGE.kafka],
    [withField(good, 8, "setInt32", 2), "t", {}, ERRORS.CORRUPT_MESSAGE.kafka],
    [damaged, "t", {}, ERRORS.CORRUPT_MESSAGE.kafka],
    [oldMagic, "t", {}, ERRORS.INVALID_RECORD.kafka],
    [shifted, "t", {}, ERRORS.INVALID_RECORD.kafka],
    [Buffer.concat([good, good]), "t", {}, ERRORS.INVALID_RECORD.kafka],
    [batchOf(["x".repeat(200)]), "tiny", {}, ERRORS.MESSAGE_TOO_LARGE.kafka],
    [batchOf(["z"], { compression: "zstd" }), "t", { version: 6 }, ERRORS.UNSUPPORTED_COMPRESSION_TYPE.kafka],
    [
      batchOf(["x"], { isTransactional: true, producerId: 1, producerEpoch: 0, baseSequence: 0 }),
      "t",
      {},
      ERRORS.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.kafka,
    ],
  ];
  for (const [records, topic, options, errorCode] of cases) {
    const produced = await produceBatch(kafka, topic, records, options);
    expect(produced).toMatchObject({ errorCode, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 });
  }
  expect(
    (await produceBatch(kafka, "t", batchOf(["z"], { compression: "zstd" }), { version: 7 })).baseOffset,
  ).toBe(0);
});

test("a producer's LogAppendTime is refused where the log sets it, and is CreateTime elsewhere", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "created");
  await createTopic(kafka, "appended", 1, { "message.timestamp.type": "LogAppendTime" });
  const batch = withField(batchOf(["a"]), 21, "setInt16", 8);
  expect((await produceBatch(kafka, "appended", batch)).errorCode).toBe(ERRORS.INVALID_TIMESTAMP.kafka);
  expect(await produceBatch(kafka, "created", batch)).toMatchObject({ errorCode: 0, logAppendTimeMs: -1 });
  const answer = await kafka.call(fetch, 12, fetchRequest(12, [{ topic: "created", offset: 0 }]));
  const stored = answer.responses[0]?.partitions[0]?.records ?? new Uint8Array(0);
  expect(validateBatch(stored)).toMatchObject({
    timestampType: "CreateTime",
    maxTimestamp: 1_700_000_000_000,
  });
  const untimed = withField(batch, 35, "setBigInt64", -1n);
  expect((await produceBatch(kafka, "created", untimed)).errorCode).toBe(ERRORS.INVALID_TIMESTAMP.kafka);
});

test("each record's timestamp is checked where the topic sets bounds; bad ones are named", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 1, { "message.timestamp.before.max.ms": "3600000" });
  const nowMs = Date.now();
  const record = (timestampMs: number) => ({ timestampMs, key: null, value: Buffer.from("v") });
  const good = encodeBatch([record(nowMs), record(nowMs - 1000)]);
  expect((await produceBatch(kafka, "t", good)).errorCode).toBe(0);
  for (const compression of ["none", "zstd"] as const) {
    const bad = encodeBatch([record(nowMs), record(1000), record(nowMs), record(2000)], { compression });
    expect(await produceBatch(kafka, "t", bad)).toMatchObject({
      errorCode: ERRORS.INVALID_TIMESTAMP.kafka,
      baseOffset: -1,
      logStartOffset: 0,
      recordErrors: [{ batchIndex: 1 }, { batchIndex: 3 }],
    });
  }
});

test("a batch that decompresses to too much is refused where it would be compressed anew", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "gzip", 1, { "compression.type": "gzip" });
  const bomb = encodeBatch([{ timestampMs: 1, key: null, value: new Uint8Array(20 << 20) }], {
    compression: "zstd",
  });
  expect(await produceBatch(kafka, "gzip", bomb)).toMatchObject({ errorCode: ERRORS.INVALID_RECORD.kafka });
});

test("a batch that is refused leaves the other partitions of the request alone", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 3);
  const answer = await kafka.call(produce, 12, {
    acks: -1,
    timeoutMs: 1000,
    topicData: [
      {
        name: "t",
        partitionData: [
          { index: 0, records: batchOf(["a"]) },
          { index: 1, records: null },
          { index: 2, records: batchOf(["c"]) },
        ],
      },
    ],
  });
  const codes = answer.responses[0]?.partitionResponses.map(({ errorCode }) => errorCode);
  expect(codes).toEqual([0, ERRORS.INVALID_RECORD.kafka, 0]);
});

test("an idempotent producer's retry gets its first offset, and a gap is refused", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const { producerId, producerEpoch, errorCode } = await kafka.call(initProducerId, 5, {
    transactionalId: null,
    transactionTimeoutMs: 0,
  });
  expect(errorCode).toBe(0);
  const batch = (baseSequence: number) => batchOf(["v"], { producerId, producerEpoch, baseSequence });
  expect((await produceBatch(kafka, "t", batch(0))).baseOffset).toBe(0);
  expect((await produceBatch(kafka, "t", batch(1))).baseOffset).toBe(1);
  expect(await produceBatch(kafka, "t", batch(0))).toMatchObject({ errorCode: 0, baseOffset: 0 });
  expect((await produceBatch(kafka, "t", batch(5))).errorCode).toBe(
    ERRORS.OUT_OF_ORDER_SEQUENCE_NUMBER.kafka,
  );
  expect((await offsetOf(kafka, "t", -1)).offset).toBe(2);
});

test("pipelined requests of one connection are stored and answered in their order", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const answers = Array.from({ length: 200 }, (_, index) => produceBatch(kafka, "t", batchOf([`${index}`])));
  const offsets = (await Promise.all(answers)).map(({ baseOffset }) => baseOffset);
  expect(offsets).toEqual(Array.from({ length: 200 }, (_, index) => index));
});

test("a failed append with acks=0 closes the connection, and the server serves on", async () => {
  const { kafka, port } = await startKafkaNode();
  const other = await connectKafka(port);
  other.send(produce, 9, {
    acks: 0,
    timeoutMs: 1000,
    topicData: [{ name: "missing", partitionData: [{ index: 0, records: batchOf(["x"]) }] }],
  });
  await other.untilClosed();
  await createTopic(kafka, "t");
  expect((await produceBatch(kafka, "t", batchOf(["x"]))).errorCode).toBe(0);
});

test("a transactional id is refused with a code that clients take as final", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const answer = await kafka.call(produce, 12, {
    transactionalId: "tx",
    acks: -1,
    timeoutMs: 1000,
    topicData: [{ name: "t", partitionData: [{ index: 0, records: batchOf(["x"]) }] }],
  });
  const refused = ERRORS.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.kafka;
  expect(answer.responses[0]?.partitionResponses[0]?.errorCode).toBe(refused);
  const init = await kafka.call(initProducerId, 5, { transactionalId: "tx", transactionTimeoutMs: 1000 });
  const empty = await kafka.call(initProducerId, 5, { transactionalId: "", transactionTimeoutMs: 1000 });
  expect(empty.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
  expect(init).toMatchObject({ errorCode: refused, producerId: -1, producerEpoch: -1 });
});

test("compression is kept as sent unless the topic names a codec", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "kept");
  await createTopic(kafka, "gzip", 1, { "compression.type": "gzip" });
  const batch = batchOf(["same ".repeat(100)]);
  expect((await produceBatch(kafka, "kept", batch)).errorCode).toBe(0);
  expect((await produceBatch(kafka, "gzip", batch)).errorCode).toBe(0);
  const stored = async (topic: string) => {
    const answer = await kafka.call(fetch, 12, fetchRequest(12, [{ topic, offset: 0 }]));
    return readBatchHeader(answer.responses[0]?.partitions[0]?.records ?? new Uint8Array(0));
  };
  expect((await stored("kept")).compression).toBe("none");
  expect((await stored("gzip")).compression).toBe("gzip");
});
