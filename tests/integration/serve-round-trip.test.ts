import { Acks, Compression } from "@ottla/proto/ottla/v1/record";
import { expect, test } from "vitest";
import { appendTexts, batchOf, bytes, readAll, startTestNode, text } from "./serve-support.ts";

test("records come back as they went in: keys, values, nulls, headers, times", async () => {
  const node = await startTestNode();
  const { topic } = await node.admin.createTopic({ name: "t", partitions: 2 });
  expect(topic?.partitions.map(({ leader }) => leader)).toEqual([1, 1]);
  const records = [
    { key: bytes("k"), value: bytes("v"), timestampMs: 5_000n },
    { headers: [{ key: "h", value: bytes("1") }, { key: "h" }], timestampMs: 6_000n },
    { key: new Uint8Array(0), value: new Uint8Array(0), timestampMs: 7_000n },
  ];
  const { results } = await node.log.append({
    topic: "t",
    partition: 1,
    payload: { case: "records", value: { records, compression: Compression.ZSTD } },
  });
  expect(results).toMatchObject([{ partition: 1, baseOffset: 0n, recordCount: 3, logStartOffset: 0n }]);
  const fetched = await node.log.fetch({ topic: "t", partition: 1, offset: 0n });
  expect(fetched).toMatchObject({ nextOffset: 3n, highWatermark: 3n });
  const [first, second, third] = fetched.records;
  expect([text(first?.key), text(first?.value), first?.timestampMs]).toEqual(["k", "v", 5_000n]);
  expect(second?.key).toBeUndefined();
  expect(second?.value).toBeUndefined();
  expect(second?.headers.map(({ key, value }) => [key, value && text(value)])).toEqual([
    ["h", "1"],
    ["h", undefined],
  ]);
  expect([third?.key?.length, third?.value?.length]).toEqual([0, 0]);
});

test("everything acknowledged is there after a restart, with topics, settings and offsets", async () => {
  const before = await startTestNode();
  await before.admin.createTopic({ name: "t", configs: { "retention.ms": "-1" } });
  await appendTexts(before, "t", ["a", "b"]);
  const after = await before.restart();
  expect((await readAll(after, "t")).map(({ value }) => text(value))).toEqual(["a", "b"]);
  const { results } = await appendTexts(after, "t", ["c"]);
  expect(results[0]?.baseOffset).toBe(2n);
  const { topics } = await after.admin.describeTopics({ names: ["t"], includeOffsets: true });
  expect(topics[0]?.partitions[0]?.offsets).toMatchObject({
    logStartOffset: 0n,
    highWatermark: 3n,
    logEndOffset: 3n,
  });
  expect(topics[0]?.configs.find(({ name }) => name === "retention.ms")?.value).toBe("-1");
});

test("each mode of acks stores the batch; none answers without an offset", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const append = (acks: Acks, value: string) =>
    node.log.append({ topic: "t", partition: 0, acks, payload: { case: "batch", value: batchOf([value]) } });
  expect((await append(Acks.NONE, "none")).results[0]?.baseOffset).toBe(-1n);
  expect((await append(Acks.LEADER, "leader")).results[0]?.baseOffset).toBe(1n);
  expect((await append(Acks.UNSPECIFIED, "all")).results[0]?.baseOffset).toBe(2n);
  expect((await readAll(node, "t")).map(({ value }) => text(value))).toEqual(["none", "leader", "all"]);
});

test("without a partition keys go by their hash and the others stay together", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 8 });
  const records = Array.from({ length: 40 }, (_, i) => ({
    value: bytes(String(i)),
    ...(i % 2 === 0 ? { key: bytes(`key-${i}`) } : {}),
  }));
  const payload = { case: "records", value: { records } } as const;
  const first = await node.log.append({ topic: "t", payload });
  const total = first.results.reduce((sum, { recordCount }) => sum + recordCount, 0);
  expect(total).toBe(40);
  const keyless = new Set<number>();
  const placeOf = new Map<string, number>();
  for (const { partition } of first.results) {
    for (const { key } of await readAll(node, "t", partition)) {
      if (key === null) keyless.add(partition);
      else placeOf.set(text(key), partition);
    }
  }
  expect(keyless.size).toBe(1);
  expect(placeOf.size).toBe(20);
  // The same keys find the same partitions again.
  const second = await node.log.append({
    topic: "t",
    payload: { case: "records", value: { records: [{ key: bytes("key-0") }] } },
  });
  expect(second.results[0]?.partition).toBe(placeOf.get("key-0"));
});

test("a retried batch of an idempotent producer is stored once; a gap is refused", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const { producerId, producerEpoch } = await node.log.initProducer({});
  const append = (baseSequence: number, values: string[]) => {
    const producer = { producerId: Number(producerId), producerEpoch, baseSequence };
    const payload = { case: "batch", value: batchOf(values, producer) } as const;
    return node.log.append({ topic: "t", partition: 0, payload });
  };
  expect((await append(0, ["a", "b"])).results[0]?.baseOffset).toBe(0n);
  expect((await append(0, ["a", "b"])).results[0]?.baseOffset).toBe(0n);
  await expect(append(5, ["f"])).rejects.toMatchObject({ code: "OUT_OF_ORDER_SEQUENCE_NUMBER" });
  expect((await append(2, ["c"])).results[0]?.baseOffset).toBe(2n);
  const after = await node.restart();
  const payload = {
    case: "batch",
    value: batchOf(["c"], { producerId: Number(producerId), producerEpoch, baseSequence: 2 }),
  } as const;
  expect((await after.log.append({ topic: "t", partition: 0, payload })).results[0]?.baseOffset).toBe(2n);
  expect((await readAll(after, "t")).map(({ value }) => text(value))).toEqual(["a", "b", "c"]);
  expect((await after.log.initProducer({})).producerId).not.toBe(producerId);
});

test("a conditional append stores only at the expected end", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const append = (expectedEndOffset: bigint) =>
    node.log.append({
      topic: "t",
      partition: 0,
      expectedEndOffset,
      payload: { case: "batch", value: batchOf(["x"]) },
    });
  await append(0n);
  await expect(append(0n)).rejects.toMatchObject({ code: "END_OFFSET_MISMATCH" });
  expect((await append(1n)).results[0]?.baseOffset).toBe(1n);
});

test("the stream answers each batch by its number and goes on after an error of one", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const stream = node.log.produce();
  const send = (correlationId: bigint, partition: number, value: string) =>
    stream.send({
      correlationId,
      topic: "t",
      partition,
      payload: { case: "batch", value: batchOf([value]) },
    });
  send(10n, 0, "a");
  send(11n, 7, "nowhere");
  send(12n, 0, "b");
  stream.end();
  const outcomes = new Map<bigint, string>();
  for await (const { correlationId, outcome } of stream.received) {
    const { value } = outcome;
    outcomes.set(
      correlationId,
      value !== undefined && "reason" in value ? value.reason : String(value?.baseOffset),
    );
  }
  expect(Object.fromEntries([...outcomes].map(([id, outcome]) => [String(id), outcome]))).toEqual({
    "10": "0",
    "11": "UNKNOWN_TOPIC_OR_PARTITION",
    "12": "1",
  });
});

test("answers of one partition keep the order of the requests, errors too", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const stream = node.log.produce();
  for (let number = 0; number < 30; number += 1) {
    const value = number % 3 === 1 ? new Uint8Array(3) : batchOf([`${number}`]);
    stream.send({ correlationId: BigInt(number), topic: "t", payload: { case: "batch", value } });
  }
  stream.end();
  const answered: number[] = [];
  for await (const { correlationId } of stream.received) answered.push(Number(correlationId));
  expect(answered).toEqual(Array.from({ length: 30 }, (_, number) => number));
});

test("offsets are found by place and by time", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  for (const timestampMs of [1_000n, 3_000n, 2_000n]) {
    const records = [{ value: bytes("x"), timestampMs }];
    await node.log.append({ topic: "t", partition: 0, payload: { case: "records", value: { records } } });
  }
  const place = { topic: "t", partition: 0 };
  const { answers } = await node.log.listOffsets({
    queries: [
      { ...place, at: { case: "earliest", value: true } },
      { ...place, at: { case: "latest", value: true } },
      { ...place, at: { case: "maxTimestamp", value: true } },
      { ...place, at: { case: "timestampMs", value: 1_500n } },
      { ...place, at: { case: "timestampMs", value: 9_999n } },
      { topic: "nope", partition: 0, at: { case: "latest", value: true } },
    ],
  });
  expect(answers.map(({ offset }) => offset)).toEqual([0n, 3n, 1n, 1n, -1n, -1n]);
  expect(answers[3]?.timestampMs).toBe(3_000n);
  expect(answers[5]?.error?.reason).toBe("UNKNOWN_TOPIC_OR_PARTITION");
});
