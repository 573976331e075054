import { OttlaError } from "@ottla/errors";
import { encodeBatch, encodeControlBatch } from "@ottla/records";
import { InProcessTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { Ottla } from "../ottla.ts";
import type { MemoryLog } from "../test-support/memory-log.ts";
import { MemoryServer } from "../test-support/memory-server.ts";
import type { ConsumedRecord } from "./consumed-batch.ts";
import type { Consumer } from "./consumer.ts";
import type { CaughtUp, ConsumerOptions } from "./consumer-options.ts";

function setUp(options: ConsumerOptions = {}, partitions = 1) {
  const server = new MemoryServer();
  const logs = server.createTopic("t", partitions);
  const registry = server.registry();
  const ottla = new Ottla({
    openTransport: () => new InProcessTransport({ registry, clock: systemClock, copy: true }),
  });
  return { server, logs, consumer: ottla.consumer(options) };
}

function fill(log: MemoryLog | undefined, texts: readonly string[], perBatch = 3): void {
  for (let index = 0; index < texts.length; index += perBatch) {
    const records = texts
      .slice(index, index + perBatch)
      .map((text) => ({ timestampMs: 1000 + index, key: null, value: Buffer.from(text) }));
    log?.append(encodeBatch(records));
  }
}

function text({ value }: ConsumedRecord): string {
  return Buffer.from(value ?? []).toString();
}

async function readAll(consumer: Consumer): Promise<string[]> {
  const texts: string[] = [];
  for await (const record of consumer.records({ stopAtEnd: true }))
    texts.push(`${record.offset}:${text(record)}`);
  return texts;
}

const LETTERS = ["a", "b", "c", "d", "e", "f", "g"];

describe("Consumer", () => {
  test("reads everything from the start and stops at the end", async () => {
    const { consumer, logs } = setUp();
    fill(logs[0], LETTERS);
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    expect(await readAll(consumer)).toEqual(["0:a", "1:b", "2:c", "3:d", "4:e", "5:f", "6:g"]);
    expect(consumer.position("t", 0)).toBe(7n);
    await consumer.close();
  });

  test("a topic with more partitions than one stream may have is read whole, a little ahead", async () => {
    const partitions = 2500;
    const { consumer, logs } = setUp({ prefetchBytes: 1000, maxFetchBytes: 100 }, partitions);
    logs.forEach((log, partition) => fill(log, [`${partition} one`, `${partition} two`], 1));
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    const seen = new Set<string>();
    let mostPrefetched = 0;
    for await (const record of consumer.records({ stopAtEnd: true })) {
      seen.add(text(record));
      mostPrefetched = Math.max(mostPrefetched, consumer.prefetchedBytes);
    }
    expect(seen.size).toBe(2 * partitions);
    // The limit, and what each of the three streams adds at most before it waits.
    expect(mostPrefetched).toBeLessThan(1000 + 3 * 200);
    await consumer.close();
  });

  test("a partition that is not there ends the iteration soon", async () => {
    const { consumer } = setUp();
    await consumer.assign([{ topic: "t", partition: 7, offset: "earliest" }]);
    await expect(readAll(consumer)).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
    await consumer.close();
  });

  test("an empty partition ends at once", async () => {
    const { consumer } = setUp({}, 2);
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    expect(await readAll(consumer)).toEqual([]);
    await consumer.close();
  });

  test("skips what lies before the offset asked for, in the middle of a batch", async () => {
    const { consumer, logs } = setUp();
    fill(logs[0], LETTERS);
    await consumer.assign([{ topic: "t", partition: 0, offset: 4n }]);
    expect(await readAll(consumer)).toEqual(["4:e", "5:f", "6:g"]);
    await consumer.close();
  });

  test("a time in the middle of a batch starts at the record, not at the batch", async () => {
    const { consumer, logs } = setUp();
    const records = LETTERS.map((value, index) => ({
      timestampMs: 1000 + index,
      key: null,
      value: Buffer.from(value),
    }));
    logs[0]?.append(encodeBatch(records));
    await consumer.assign([{ topic: "t", offset: { timestampMs: 1005 } }]);
    expect(await readAll(consumer)).toEqual(["5:f", "6:g"]);
    await consumer.assign([{ topic: "t", offset: { timestampMs: 9999 } }]);
    expect(await readAll(consumer)).toEqual([]);
    await consumer.close();
  });

  test("control batches are not records", async () => {
    const { consumer, logs } = setUp();
    fill(logs[0], ["a"]);
    logs[0]?.append(
      encodeControlBatch({ type: "other", typeId: 9, value: Uint8Array.of(1) }, { timestampMs: 1 }),
    );
    fill(logs[0], ["b"]);
    await consumer.assign([{ topic: "t", partition: 0, offset: 0 }]);
    expect(await readAll(consumer)).toEqual(["0:a", "2:b"]);
    await consumer.close();
  });

  test("latest sees only what comes later; says when it has caught up", async () => {
    const reached: CaughtUp[] = [];
    const { consumer, logs } = setUp({ onCaughtUp: (caughtUp) => reached.push(caughtUp) });
    fill(logs[0], ["old"]);
    await consumer.assign(["t"]);
    const iterator = consumer[Symbol.asyncIterator]();
    const next = iterator.next();
    while (reached.length === 0) {
      await new Promise<void>((resolve) => systemClock.nextTurn(resolve));
    }
    expect(reached).toEqual([{ topic: "t", partition: 0, offset: 1n }]);
    fill(logs[0], ["new"]);
    const { value } = await next;
    expect(value?.offset).toBe(1n);
    await consumer.close();
    expect((await iterator.next()).done).toBe(true);
  });

  test("seek drops what was fetched, back and forth", async () => {
    const { consumer, logs } = setUp();
    fill(logs[0], LETTERS);
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    const seen: string[] = [];
    for await (const record of consumer.records({ stopAtEnd: true })) {
      seen.push(text(record));
      if (seen.length === 2) consumer.seek("t", 0, 5);
      if (seen.length === 3) consumer.seek("t", 0, "earliest");
      if (seen.length === 4) consumer.seek("t", 0, 6);
    }
    expect(seen).toEqual(["a", "b", "f", "a", "g"]);
    await consumer.close();
  });

  test("a paused partition goes on where it stopped", async () => {
    const { consumer, logs } = setUp({}, 2);
    fill(logs[0], LETTERS);
    fill(logs[1], ["x", "y"]);
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    const seen: string[] = [];
    for await (const record of consumer.records({ stopAtEnd: true })) {
      if (record.partition === 0) consumer.pause([{ topic: "t", partition: 0 }]);
      seen.push(text(record));
    }
    expect(seen.toSorted()).toEqual(["a", "x", "y"]);
    expect(consumer.position("t", 0)).toBe(1n);
    consumer.resume();
    expect(await readAll(consumer)).toEqual(["1:b", "2:c", "3:d", "4:e", "5:f", "6:g"]);
    await consumer.close();
  });

  test("does not fetch further ahead than prefetchBytes", async () => {
    const { consumer, logs, server } = setUp({ prefetchBytes: 10_000, maxFetchBytes: 1000 });
    fill(
      logs[0],
      Array.from({ length: 300 }, () => "x".repeat(1000)),
    );
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    let records = 0;
    for await (const batch of consumer.batches({ stopAtEnd: true })) {
      expect(batch.sizeBytes).toBeLessThan(4000);
      expect(consumer.prefetchedBytes).toBeLessThan(14_000);
      for (const _record of batch) records++;
    }
    expect(records).toBe(300);
    expect(server.topics.size).toBe(1);
    await consumer.close();
  });

  test("an offset out of range throws, or starts where autoOffsetReset says", async () => {
    const strict = setUp();
    fill(strict.logs[0], LETTERS);
    await strict.consumer.assign([{ topic: "t", partition: 0, offset: 1000 }]);
    await expect(readAll(strict.consumer)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    strict.consumer.seek("t", 0, 6);
    expect(await readAll(strict.consumer)).toEqual(["6:g"]);
    const lenient = setUp({ autoOffsetReset: "earliest" });
    fill(lenient.logs[0], ["a"]);
    await lenient.consumer.assign([{ topic: "t", partition: 0, offset: 1000 }]);
    expect(await readAll(lenient.consumer)).toEqual(["0:a"]);
  });

  test("a damaged batch throws CORRUPT_MESSAGE instead of handing out nonsense", async () => {
    const { consumer, logs } = setUp();
    fill(logs[0], LETTERS);
    const bytes = logs[0]?.batches[1]?.bytes ?? new Uint8Array();
    bytes[bytes.length - 2] = 1;
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    await expect(readAll(consumer)).rejects.toMatchObject({ code: "CORRUPT_MESSAGE" });
    await consumer.close();
  });

  test("a topic that does not exist is an error of assign", async () => {
    const { consumer } = setUp();
    await expect(consumer.assign(["nowhere"])).rejects.toBeInstanceOf(OttlaError);
    await expect(consumer.assign([{ topic: "t", partition: 0, offset: -5 }])).rejects.toThrow("offset");
    await consumer.close();
  });

  test("goes on where it was when the server restarts", async () => {
    const server = new MemoryServer();
    const [log] = server.createTopic("t", 1);
    await server.start();
    const ottla = new Ottla({ address: server.address });
    const consumer = ottla.consumer();
    fill(log, LETTERS);
    await consumer.assign([{ topic: "t", offset: "earliest" }]);
    const seen: string[] = [];
    for await (const record of consumer) {
      seen.push(text(record));
      if (seen.length === 4) {
        await server.stop();
        fill(log, ["h", "i"]);
        await server.start();
      }
      if (seen.length === 9) break;
    }
    expect(seen).toEqual([...LETTERS, "h", "i"]);
    await ottla.close();
    await server.stop();
  });
});
