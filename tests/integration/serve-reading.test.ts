import { LogService, ReadFormat, type ReadResponse } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { appendTexts, batchOf, startTestNode, text } from "./serve-support.ts";

const MEBIBYTE = 1024 * 1024;

async function nextOf(received: AsyncIterator<ReadResponse>): Promise<ReadResponse> {
  const { value, done } = await received.next();
  if (done === true) throw new Error("the stream has ended");
  return value;
}

test("a waiting fetch is answered as soon as a record arrives", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const startedMs = systemClock.monotonic();
  const waiting = node.log.fetch({ topic: "t", partition: 0, offset: 0n, maxWaitMs: 60_000 });
  await appendTexts(node, "t", ["a"]);
  expect((await waiting).records.map(({ value }) => text(value))).toEqual(["a"]);
  expect(systemClock.monotonic() - startedMs).toBeLessThan(30_000);
});

test("a fetch waits for min_bytes, and answers with what there is when its time is up", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  await appendTexts(node, "t", ["a"]);
  const fetch = { topic: "t", partition: 0, offset: 0n, minBytes: 2_000 };
  const enough = node.log.fetch({ ...fetch, maxWaitMs: 60_000 });
  await appendTexts(node, "t", ["b".repeat(3_000)]);
  expect((await enough).records.length).toBe(2);
  const late = await node.log.fetch({ ...fetch, minBytes: 100_000, maxWaitMs: 50 });
  expect(late.records.length).toBe(2);
  expect((await node.log.fetch({ ...fetch, offset: 2n })).records).toEqual([]);
});

test("max_bytes bounds an answer, and still brings one whole batch", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  for (const letter of "abcd") await appendTexts(node, "t", [letter.repeat(10_000)]);
  const two = await node.log.fetch({ topic: "t", partition: 0, offset: 0n, maxBytes: 25_000 });
  expect(two.nextOffset).toBe(2n);
  const one = await node.log.fetch({ topic: "t", partition: 0, offset: 1n, maxBytes: 1 });
  expect(one.nextOffset).toBe(2n);
  expect(text(one.records[0]?.value)).toBe("b".repeat(10_000));
});

test("a reader follows partitions, hears once that it has caught up, and gets what arrives", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 2 });
  await appendTexts(node, "t", ["old"], 0);
  const stream = node.log.read({
    positions: [
      { topic: "t", partition: 0, start: { case: "earliest", value: true } },
      { topic: "t", partition: 1, start: { case: "latest", value: true } },
    ],
  });
  const received = stream.received[Symbol.asyncIterator]();
  const heard: string[] = [];
  const hear = async (): Promise<void> => {
    const { partition, records } = await nextOf(received);
    heard.push(`${partition}:${records.map(({ value }) => text(value)).join("+") || "caught up"}`);
  };
  for (let messages = 0; messages < 3; messages += 1) await hear();
  expect(heard.toSorted()).toEqual(["0:caught up", "0:old", "1:caught up"]);
  await appendTexts(node, "t", ["new"], 1);
  await hear();
  await appendTexts(node, "t", ["newer"], 0);
  await hear();
  expect(heard.slice(3)).toEqual(["1:new", "0:newer"]);
  stream.cancel();
});

test("a partition that cannot go on says so, and the others do", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 2 });
  await appendTexts(node, "t", ["a", "b"], 0);
  await appendTexts(node, "t", ["c"], 1);
  await node.admin.deleteRecords({ topic: "t", partition: 0, beforeOffset: 1n });
  const stream = node.log.read({
    format: ReadFormat.BATCHES,
    positions: [
      { topic: "t", partition: 0, start: { case: "offset", value: 0n } },
      { topic: "t", partition: 1, start: { case: "offset", value: 0n } },
    ],
  });
  const errors: string[] = [];
  let batchBytes = 0;
  for await (const message of stream.received) {
    if (message.error !== undefined) errors.push(`${message.partition}:${message.error.reason}`);
    batchBytes += message.batches.length;
    if (batchBytes > 0 && errors.length > 0) break;
  }
  stream.cancel();
  expect(errors).toEqual(["0:OFFSET_OUT_OF_RANGE"]);
});

test("records of compressed batches come in slices, and reading starts inside a batch", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const values = Array.from({ length: 200 }, (_, i) => `${i}:${"x".repeat(1_000)}`);
  const batch = batchOf(values, { compression: "zstd" });
  await node.log.append({ topic: "t", partition: 0, payload: { case: "batch", value: batch } });
  const slice = await node.log.fetch({ topic: "t", partition: 0, offset: 50n, maxBytes: 20_000 });
  expect(text(slice.records[0]?.value)).toBe(values[50]);
  expect(slice.records.length).toBeLessThan(30);
  expect(slice.nextOffset).toBe(50n + BigInt(slice.records.length));
  const stream = node.log.read({
    maxBytes: 20_000,
    positions: [{ topic: "t", partition: 0, start: { case: "offset", value: 50n } }],
  });
  const read: string[] = [];
  for await (const { records, nextOffset, highWatermark } of stream.received) {
    read.push(...records.map(({ value }) => text(value)));
    if (nextOffset >= highWatermark) break;
  }
  stream.cancel();
  expect(read).toEqual(values.slice(50));
});

test("a reader that does not read costs a bounded number of bytes", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 4 });
  const batch = batchOf([("x".repeat(1_000) + "y").repeat(900)]);
  for (let count = 0; count < 80; count += 1) {
    await node.log.append({ topic: "t", partition: count % 4, payload: { case: "batch", value: batch } });
  }
  const transport = new GrpcTransport({ address: node.address, clock: systemClock });
  const stream = createClient(LogService, transport).read({
    format: ReadFormat.BATCHES,
    positions: Array.from({ length: 4 }, (_, partition) => ({
      topic: "t",
      partition,
      start: { case: "earliest" as const, value: true },
    })),
  });
  const received = stream.received[Symbol.asyncIterator]();
  await nextOf(received);
  // 70 MB are there to send. What the server took from its logs for this reader stands still far below that.
  const sentBytes = async (): Promise<number> => {
    const metrics = await (await fetch(`${node.httpUrl}/metrics`)).text();
    return Number(/^ottla_partition_storage_fetched_bytes_total (\d+)/m.exec(metrics)?.[1]);
  };
  let before = -1;
  await expect
    .poll(
      async () => {
        const now = await sentBytes();
        const still = now === before;
        before = now;
        return still;
      },
      { timeout: 20_000, interval: 300 },
    )
    .toBe(true);
  expect(before).toBeLessThan(45 * MEBIBYTE);
  // And the rest comes when it reads on.
  const done = new Set<number>();
  while (done.size < 4) {
    const { partition, nextOffset, highWatermark } = await nextOf(received);
    if (nextOffset >= highWatermark) done.add(partition);
  }
  stream.cancel();
  await transport.close();
});

test("a stream whose answers are not read is slowed, and loses nothing", async () => {
  const node = await startTestNode({ settings: { grpc: { maxUnansweredBytesPerStream: 256 * 1024 } } });
  await node.admin.createTopic({ name: "t" });
  const stream = node.log.produce();
  const batch = batchOf(["x".repeat(100_000)]);
  const count = 60;
  const sending = (async () => {
    for (let number = 0; number < count; number += 1) {
      const payload = { case: "batch" as const, value: batch };
      if (!stream.send({ correlationId: BigInt(number), topic: "t", partition: 0, payload }))
        await stream.drained();
    }
    stream.end();
  })();
  const offsets: bigint[] = [];
  for await (const { outcome } of stream.received) {
    if (outcome.case === "result") offsets.push(outcome.value.baseOffset);
  }
  await sending;
  expect(offsets).toEqual(Array.from({ length: count }, (_, number) => BigInt(number)));
});
