import { ERRORS } from "@ottla/errors";
import { deleteRecords, fetch, ZERO_UUID } from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import {
  batchOf,
  connectKafka,
  createTopic,
  fetchRequest,
  produceBatch,
  startKafkaNode,
  valuesOf,
} from "./kafka-support.ts";

test("every version of Fetch gives the records that were produced", async () => {
  const { kafka } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t");
  await produceBatch(kafka, "t", batchOf(["a", "b"]));
  await produceBatch(kafka, "t", batchOf(["c"]));
  for (let version = 4; version <= 17; version++) {
    const topic = version >= 13 ? topicId : "t";
    const answer = await kafka.call(fetch, version, fetchRequest(version, [{ topic, offset: 0 }]));
    expect(valuesOf(answer)).toEqual(["a", "b", "c"]);
    expect(answer.responses[0]?.partitions[0]).toMatchObject({
      errorCode: 0,
      highWatermark: 3,
      lastStableOffset: 3,
      logStartOffset: version >= 5 ? 0 : -1,
      abortedTransactions: null,
    });
  }
  const committed = fetchRequest(17, [{ topic: topicId, offset: 2 }], { isolationLevel: 1 });
  const answer = await kafka.call(fetch, 17, committed);
  expect(valuesOf(answer)).toEqual(["c"]);
  expect(answer.responses[0]?.partitions[0]?.abortedTransactions).toEqual([]);
});

test("a partition that cannot be read carries its own error, the others their records", async () => {
  const { kafka } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t");
  await produceBatch(kafka, "t", batchOf(["a"]));
  const codeOf = async (version: number, wanted: Parameters<typeof fetchRequest>[1]) => {
    const answer = await kafka.call(
      fetch,
      version,
      fetchRequest(version, wanted, { maxWaitMs: 10_000, minBytes: 1_000 }),
    );
    return answer.responses.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode));
  };
  const missing = "11111111-1111-4111-8111-111111111111";
  expect(await codeOf(12, [{ topic: "t", offset: 9 }])).toEqual([ERRORS.OFFSET_OUT_OF_RANGE.kafka]);
  expect(await codeOf(12, [{ topic: "t", offset: -7 }])).toEqual([ERRORS.OFFSET_OUT_OF_RANGE.kafka]);
  expect(await codeOf(12, [{ topic: "t", offset: 2 ** 62 }])).toEqual([ERRORS.OFFSET_OUT_OF_RANGE.kafka]);
  expect(await codeOf(12, [{ topic: "x", offset: 0 }])).toEqual([ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka]);
  expect(await codeOf(17, [{ topic: missing, offset: 0 }])).toEqual([ERRORS.UNKNOWN_TOPIC_ID.kafka]);
  expect(await codeOf(17, [{ topic: ZERO_UUID, offset: 0 }])).toEqual([ERRORS.UNKNOWN_TOPIC_ID.kafka]);
  expect(await codeOf(17, [{ topic: topicId, offset: 0, leaderEpoch: 99 }])).toEqual([
    ERRORS.UNKNOWN_LEADER_EPOCH.kafka,
  ]);
  expect(
    await codeOf(12, [
      { topic: "t", offset: 0 },
      { topic: "x", offset: 0 },
    ]),
  ).toEqual([0, ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka]);
});

test("a fetch at the end waits for any of its partitions, and no longer than it asked for", async () => {
  const { kafka, port } = await startKafkaNode();
  await createTopic(kafka, "t", 3);
  const consumer = await connectKafka(port);
  const wanted = [0, 1, 2].map((partition) => ({ topic: "t", partition, offset: 0 }));
  const waiting = consumer.call(fetch, 12, fetchRequest(12, wanted, { maxWaitMs: 30_000 }));
  // Whether the fetch hangs already or not when this comes: it must be answered.
  await produceBatch(kafka, "t", batchOf(["late"]), { partition: 2 });
  expect(valuesOf(await waiting)).toEqual(["late"]);
  const nothing = await consumer.call(
    fetch,
    12,
    fetchRequest(12, [{ topic: "t", partition: 1, offset: 0 }], { maxWaitMs: 50 }),
  );
  expect(valuesOf(nothing)).toEqual([]);
  expect(nothing.responses[0]?.partitions[0]?.highWatermark).toBe(0);
});

test("a fetch waits for min_bytes over all its partitions together", async () => {
  const { kafka, port } = await startKafkaNode();
  await createTopic(kafka, "t", 2);
  const consumer = await connectKafka(port);
  const wanted = [0, 1].map((partition) => ({ topic: "t", partition, offset: 0 }));
  const waiting = consumer.call(fetch, 12, fetchRequest(12, wanted, { maxWaitMs: 30_000, minBytes: 250 }));
  for (const [index, partition] of [0, 1, 0].entries()) {
    await produceBatch(kafka, "t", batchOf([`${index}`.repeat(20)]), { partition });
  }
  expect(valuesOf(await waiting).length).toBeGreaterThanOrEqual(3);
});

test("an answer keeps its limits, but its first batch comes whatever its size", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 2);
  for (const partition of [0, 1]) {
    for (let index = 0; index < 4; index++) {
      await produceBatch(kafka, "t", batchOf([`${partition}${index}`.padEnd(1000, ".")]), { partition });
    }
  }
  const wanted = [0, 1].map((partition) => ({ topic: "t", partition, offset: 0 }));
  const sizesOf = async (options: { maxBytes: number }, partitionMaxBytes = 1 << 20) => {
    const request = fetchRequest(
      12,
      wanted.map((item) => ({ ...item, maxBytes: partitionMaxBytes })),
      options,
    );
    const answer = await kafka.call(fetch, 12, request);
    return answer.responses.flatMap(({ partitions }) => partitions.map(({ records }) => valuesIn(records)));
  };
  expect(await sizesOf({ maxBytes: 1 })).toEqual([1, 0]);
  expect(await sizesOf({ maxBytes: 50 << 20 }, 2_500)).toEqual([2, 2]);
  expect(await sizesOf({ maxBytes: 5_000 })).toEqual([4, 0]);
  expect(await sizesOf({ maxBytes: 50 << 20 })).toEqual([4, 4]);
});

function valuesIn(records: Uint8Array | null): number {
  return Math.floor((records?.byteLength ?? 0) / 1000);
}

test("an incremental session answers with what is new, and with errors when it is misused", async () => {
  const { kafka, port } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t", 2);
  await produceBatch(kafka, "t", batchOf(["a"]));
  const wanted = [0, 1].map((partition) => ({ topic: topicId, partition, offset: 0 }));
  const full = await kafka.call(fetch, 17, fetchRequest(17, wanted, { sessionEpoch: 0 }));
  expect(full.sessionId).toBeGreaterThan(0);
  expect(full.responses.flatMap(({ partitions }) => partitions)).toHaveLength(2);
  const { sessionId } = full;

  const moved = fetchRequest(17, [{ topic: topicId, offset: 1 }], { sessionId, sessionEpoch: 1 });
  const quiet = await kafka.call(fetch, 17, moved);
  expect(quiet).toMatchObject({ errorCode: 0, sessionId, responses: [] });

  await produceBatch(kafka, "t", batchOf(["b"]), { partition: 1 });
  const news = await kafka.call(fetch, 17, fetchRequest(17, [], { sessionId, sessionEpoch: 2 }));
  expect(valuesOf(news)).toEqual(["b"]);
  expect(news.responses.flatMap(({ partitions }) => partitions)).toHaveLength(1);

  const wrongEpoch = await kafka.call(fetch, 17, fetchRequest(17, [], { sessionId, sessionEpoch: 9 }));
  expect(wrongEpoch.errorCode).toBe(ERRORS.INVALID_FETCH_SESSION_EPOCH.kafka);
  const byName = await kafka.call(fetch, 12, fetchRequest(12, [], { sessionId, sessionEpoch: 3 }));
  expect(byName.errorCode).toBe(ERRORS.FETCH_SESSION_TOPIC_ID_ERROR.kafka);
  const other = await connectKafka(port);
  const elsewhere = await other.call(fetch, 17, fetchRequest(17, [], { sessionId, sessionEpoch: 3 }));
  expect(elsewhere.errorCode).toBe(ERRORS.FETCH_SESSION_ID_NOT_FOUND.kafka);

  const forgotten = [{ topic: topicId, partitions: [1] }];
  const less = await kafka.call(fetch, 17, fetchRequest(17, [], { sessionId, sessionEpoch: 3, forgotten }));
  expect(less).toMatchObject({ errorCode: 0, responses: [] });
  const closing = fetchRequest(17, [], { sessionId, sessionEpoch: -1 });
  expect(await kafka.call(fetch, 17, closing)).toMatchObject({ errorCode: 0, sessionId: 0 });
  const gone = await kafka.call(fetch, 17, fetchRequest(17, [], { sessionId, sessionEpoch: 4 }));
  expect(gone.errorCode).toBe(ERRORS.FETCH_SESSION_ID_NOT_FOUND.kafka);
});

test("deleted records are out of range, and the next answer shows the new start", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  for (const value of ["a", "b", "c"]) await produceBatch(kafka, "t", batchOf([value]));
  const deleteBefore = async (offset: number) => {
    const topics = [{ name: "t", partitions: [{ partitionIndex: 0, offset }] }];
    return (await kafka.call(deleteRecords, 2, { topics, timeoutMs: 5000 })).topics[0]?.partitions[0];
  };
  expect(await deleteBefore(2)).toMatchObject({ errorCode: 0, lowWatermark: 2 });
  expect(await deleteBefore(99)).toMatchObject({
    errorCode: ERRORS.OFFSET_OUT_OF_RANGE.kafka,
    lowWatermark: -1,
  });
  const below = await kafka.call(fetch, 12, fetchRequest(12, [{ topic: "t", offset: 1 }]));
  expect(below.responses[0]?.partitions[0]?.errorCode).toBe(ERRORS.OFFSET_OUT_OF_RANGE.kafka);
  const above = await kafka.call(fetch, 12, fetchRequest(12, [{ topic: "t", offset: 2 }]));
  expect(above.responses[0]?.partitions[0]).toMatchObject({ errorCode: 0, logStartOffset: 2 });
  expect(await deleteBefore(-1)).toMatchObject({ errorCode: 0, lowWatermark: 3 });
});

test("memory that is read into again never changes an answer that is still on its way", async () => {
  const { kafka, port } = await startKafkaNode({ storage: { tailCacheBytes: 0 } });
  const topicId = await createTopic(kafka, "t");
  const values = Array.from({ length: 24 }, (_, index) => String.fromCharCode(97 + index).repeat(900_000));
  for (const value of values) await produceBatch(kafka, "t", batchOf([value]));
  const valueAt = async (client: typeof kafka, offset: number): Promise<string | undefined> =>
    valuesOf(await client.call(fetch, 17, fetchRequest(17, [{ topic: topicId, offset }])))[0];

  const slow = await connectKafka(port);
  slow.pause();
  const late = values.map((_, offset) => valueAt(slow, offset));
  const readers = Array.from({ length: 4 }, async (_, first) => {
    const reader = await connectKafka(port);
    for (let offset = first; offset < values.length; offset++) {
      if ((await valueAt(reader, offset)) !== values[offset]) return offset;
    }
    return undefined;
  });
  expect(await Promise.all(readers)).toEqual([undefined, undefined, undefined, undefined]);
  slow.resume();
  const taken = await Promise.all(late);
  expect(taken.findIndex((value, offset) => value !== values[offset])).toBe(-1);
});

test("partitions that an answer has no room for are answered with their offsets and errors", async () => {
  const { kafka } = await startKafkaNode();
  const topic = await createTopic(kafka, "t", 3);
  for (const partition of [0, 1, 2]) {
    await produceBatch(kafka, "t", batchOf(["x".repeat(2_000)]), { partition });
  }
  const wanted = [
    { topic, partition: 0, offset: 0 },
    { topic, partition: 1, offset: 0 },
    { topic, partition: 2, offset: 99 },
  ];
  const full = await kafka.call(fetch, 17, fetchRequest(17, wanted, { maxBytes: 100, sessionEpoch: 0 }));
  const told = full.responses.flatMap(({ partitions }) =>
    partitions.map(
      ({ partitionIndex, errorCode, highWatermark, lastStableOffset, logStartOffset, records }) => [
        [partitionIndex, errorCode, highWatermark, lastStableOffset, logStartOffset],
        (records?.byteLength ?? 0) > 0,
      ],
    ),
  );
  expect(told).toEqual([
    [[0, 0, 1, 1, 0], true],
    [[1, 0, 1, 1, 0], false],
    [[2, ERRORS.OFFSET_OUT_OF_RANGE.kafka, -1, -1, -1], false],
  ]);
  const { sessionId } = full;
  const forgotten = [{ topic, partitions: [2] }];
  // Now it is partition 1's turn, and what is known of partition 0 is still so.
  const options = { maxBytes: 100, sessionId, sessionEpoch: 1, forgotten };
  const next = await kafka.call(fetch, 17, fetchRequest(17, [], options));
  const news = next.responses.flatMap(({ partitions }) =>
    partitions.map((partition) => partition.partitionIndex),
  );
  expect(news).toEqual([1]);
});
