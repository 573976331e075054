import { NOT_APPENDED, OttlaError } from "@ottla/errors";
import { decodeRecords } from "@ottla/records";
import { InProcessTransport } from "@ottla/rpc";
import { SeededRandom, systemClock, VirtualClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { type ClientLogger, Ottla } from "../ottla.ts";
import type { MemoryLog } from "../test-support/memory-log.ts";
import { MemoryServer } from "../test-support/memory-server.ts";
import type { Producer } from "./producer.ts";
import type { BatchOutcome, ProducerOptions } from "./producer-options.ts";

function values(log: MemoryLog | undefined): string[] {
  return (log?.batches ?? []).flatMap(({ bytes }) =>
    [...decodeRecords(bytes)].map((record) => Buffer.from(record.value ?? []).toString()),
  );
}

interface Setup {
  readonly server: MemoryServer;
  readonly logs: MemoryLog[];
  readonly producer: Producer;
  readonly clock: VirtualClock;
}

/** A producer on virtual time, with a server in the same process. */
function setUp(options: ProducerOptions = {}, partitions = 1, logger?: ClientLogger): Setup {
  const clock = new VirtualClock();
  const server = new MemoryServer();
  const logs = server.createTopic("t", partitions);
  const registry = server.registry();
  const ottla = new Ottla({
    clock,
    logger,
    random: new SeededRandom(1),
    openTransport: () => new InProcessTransport({ registry, clock: systemClock, copy: true }),
  });
  return { server, logs, producer: ottla.producer(options), clock };
}

/** Lets time pass until the promise settles. */
async function settle<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  const state = { settled: false };
  const finished = promise.finally(() => {
    state.settled = true;
  });
  finished.catch(() => undefined);
  while (!state.settled) {
    await clock.advance(1);
    await new Promise<void>((resolve) => systemClock.nextTurn(resolve));
  }
  return finished;
}

describe("Producer", () => {
  test("records of one turn travel in one batch, and each learns its own offset", async () => {
    const { producer, logs, clock } = setUp();
    const sent = ["a", "b", "c"].map((value) => producer.send({ topic: "t", value }));
    const delivered = await settle(clock, Promise.all(sent));
    expect(delivered.map((record) => record.offset)).toEqual([0n, 1n, 2n]);
    expect(delivered[0]).toMatchObject({ topic: "t", partition: 0, timestampMs: expect.any(Number) });
    expect(logs[0]?.batches).toHaveLength(1);
    expect(values(logs[0])).toEqual(["a", "b", "c"]);
  });

  test("key, value, headers, partition and timestamp arrive as they were sent", async () => {
    const { producer, logs, clock } = setUp({ compression: "gzip" }, 3);
    await settle(
      clock,
      producer.send({
        topic: "t",
        partition: 2,
        key: "k",
        value: null,
        headers: { trace: "1", empty: null },
        timestampMs: 1234,
      }),
    );
    const [record] = decodeRecords(logs[2]?.batches[0]?.bytes ?? new Uint8Array());
    expect(record).toMatchObject({ timestampMs: 1234, value: null });
    expect(Buffer.from(record?.key ?? []).toString()).toBe("k");
    expect(record?.headers.map(({ key, value }) => [key, value && Buffer.from(value).toString()])).toEqual([
      ["trace", "1"],
      ["empty", null],
    ]);
  });

  test("a batch closes when it is full, without waiting for the linger", async () => {
    const { producer, logs, clock, server } = setUp({ batchBytes: 1000, lingerMs: 60_000 });
    const first = producer.send({ topic: "t", value: "x".repeat(900) });
    void producer.send({ topic: "t", value: "y".repeat(900) });
    await settle(clock, first);
    expect(logs[0]?.batches).toHaveLength(1);
    expect(server.batchesReceived).toBe(1);
  });

  test("an answer that got lost does not store the batch twice nor change its order", async () => {
    const { producer, logs, clock, server } = setUp({ requestTimeoutMs: 2000 });
    let silenced = 0;
    server.interfere = () => (++silenced === 2 ? "store and stay silent" : undefined);
    const sent: Promise<unknown>[] = [];
    for (const value of ["a", "b", "c", "d", "e", "f"]) {
      sent.push(producer.send({ topic: "t", value }));
      await clock.advance(6);
    }
    await settle(clock, Promise.all(sent));
    expect(values(logs[0])).toEqual(["a", "b", "c", "d", "e", "f"]);
    expect(silenced).toBeGreaterThan(6);
  });

  test("a log that does not know the producer yet meets no batch whose predecessor was lost", async () => {
    const { producer, logs, clock, server } = setUp({ requestTimeoutMs: 2000 });
    for (const log of logs) log.unknownBeginAnywhere = true;
    server.interfere = (_request, attempt) => (attempt === 0 ? "stay silent" : undefined);
    const sent: Promise<unknown>[] = [];
    for (const value of ["a", "b", "c"]) {
      sent.push(producer.send({ topic: "t", value }));
      await clock.advance(6);
    }
    await settle(clock, Promise.all(sent));
    expect(values(logs[0]).join("")).toBe("abc");
    expect(server.producersInitialized).toBe(1);
  });

  test("a batch that is refused for a while goes again, and those behind it stay behind it", async () => {
    const { producer, logs, clock, server } = setUp();
    server.interfere = (_request, attempt) =>
      attempt < 3 ? new OttlaError("NOT_LEADER_OR_FOLLOWER", "moved") : undefined;
    const sent: Promise<{ offset: bigint }>[] = [];
    for (let index = 0; index < 20; index++) {
      sent.push(producer.send({ topic: "t", value: String(index) }));
      await clock.advance(6);
    }
    const delivered = await settle(clock, Promise.all(sent));
    expect(values(logs[0])).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
    expect(delivered.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 20 }, (_, index) => BigInt(index)),
    );
    expect(server.producersInitialized).toBe(1);
  });

  test("after a refused batch the next ones are stored under a new producer id", async () => {
    const { producer, logs, clock, server } = setUp();
    server.interfere = ({ payload }) => {
      const [record] = payload.case === "batch" ? decodeRecords(payload.value) : [];
      return record?.value?.[0] === 98 ? new OttlaError("INVALID_RECORD", "b is not wanted") : undefined;
    };
    const outcomes: string[] = [];
    const sent: Promise<void>[] = [];
    for (const value of ["a", "b", "c", "d", "e"]) {
      const outcome = producer.send({ topic: "t", value });
      sent.push(
        outcome.then(
          () => void outcomes.push(value),
          (error: OttlaError) => void outcomes.push(`${value} ${error.code}`),
        ),
      );
      await clock.advance(6);
    }
    await settle(clock, Promise.all(sent));
    expect(values(logs[0])).toEqual(["a", "c", "d", "e"]);
    expect(outcomes).toEqual(["a", "b INVALID_RECORD", "c", "d", "e"]);
    expect(server.producersInitialized).toBe(2);
  });

  test("a server that forgot the producer gets what was not stored, once", async () => {
    const { producer, logs, clock, server } = setUp();
    await settle(clock, producer.send({ topic: "t", value: "a" }));
    logs[0]?.forgetProducers();
    await settle(clock, producer.send({ topic: "t", value: "b" }));
    expect(values(logs[0])).toEqual(["a", "b"]);
    expect(server.producersInitialized).toBe(2);
  });

  test("a batch that is too large for the topic is split, and every record learns its offset", async () => {
    const { producer, logs, clock } = setUp({ batchBytes: 100_000 });
    const [log] = logs;
    if (log !== undefined) log.maxMessageBytes = 600;
    const sent = Array.from({ length: 20 }, (_, index) =>
      producer.send({ topic: "t", value: String(index).padStart(100, "-") }),
    );
    const delivered = await settle(clock, Promise.all(sent));
    expect(delivered.map(({ offset }) => Number(offset))).toEqual(
      Array.from({ length: 20 }, (_, index) => index),
    );
    expect(producer.bufferedBytes).toBe(0);
  });

  test("what is stored of a split batch does not count as failed; later batches fit", async () => {
    const outcomes: BatchOutcome[] = [];
    const { producer, logs, clock, server } = setUp({
      batchBytes: 100_000,
      onBatch: (outcome) => void outcomes.push(outcome),
    });
    const [log] = logs;
    if (log !== undefined) log.maxMessageBytes = 600;
    for (let index = 0; index < 50; index++) {
      producer.post({ topic: "t", value: "x".repeat(index === 20 ? 5000 : 100) });
    }
    await expect(settle(clock, producer.flush())).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    const total = (failed: boolean) =>
      outcomes.reduce(
        (sum, { recordCount, error }) => sum + ((error !== undefined) === failed ? recordCount : 0),
        0,
      );
    expect({ stored: total(false), failed: total(true) }).toEqual({ stored: 49, failed: 1 });
    expect(values(log)).toHaveLength(49);
    expect(producer.bufferedBytes).toBe(0);
    const received = server.batchesReceived;
    for (let index = 0; index < 40; index++) producer.post({ topic: "t", value: "x".repeat(100) });
    await settle(clock, producer.flush());
    // Four records of a hundred bytes fit into 600: nothing was refused any more.
    expect(server.batchesReceived - received).toBeLessThanOrEqual(11);
    expect(values(log)).toHaveLength(89);
  });

  test("one record that is too large fails alone", async () => {
    const { producer, logs, clock } = setUp({ batchBytes: 100_000 });
    const [log] = logs;
    if (log !== undefined) log.maxMessageBytes = 600;
    const sent = ["small", "x".repeat(5000), "small too"].map((value) =>
      producer.send({ topic: "t", value }),
    );
    const outcomes = await settle(clock, Promise.allSettled(sent));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(values(log)).toEqual(["small", "small too"]);
  });

  test("without an answer a record fails after deliveryTimeoutMs, and the message says so", async () => {
    const { producer, clock, server } = setUp({ deliveryTimeoutMs: 5000 });
    server.interfere = () => "stay silent";
    const sent = producer.send({ topic: "t", value: "a" });
    await expect(settle(clock, sent)).rejects.toThrow(/deliveryTimeoutMs 5000.*It may have been stored/);
    expect(producer.bufferedBytes).toBe(0);
  });

  test("a batch refused until its time is over: the server's reason comes first", async () => {
    const warnings: object[] = [];
    const logger = { warn: (facts: object) => void warnings.push(facts), debug: () => undefined };
    const { producer, clock, server } = setUp({ deliveryTimeoutMs: 15_000 }, 1, logger);
    server.interfere = () =>
      new OttlaError("KAFKA_STORAGE_ERROR", "the disk is full", { metadata: { [NOT_APPENDED]: "true" } });
    const sent = producer.send({ topic: "t", value: "a" });
    await expect(settle(clock, sent)).rejects.toThrow(
      /^the disk is full \(KAFKA_STORAGE_ERROR\); a batch of 1 record .*nothing of it was stored$/,
    );
    const warning = { topic: "t", partition: 0, code: "KAFKA_STORAGE_ERROR", reason: "the disk is full" };
    expect(warnings).toEqual([warning, warning]);
  });

  test("the buffer never holds more than its limit, and everything arrives", async () => {
    const { producer, logs, clock } = setUp({ bufferBytes: 65_536, batchBytes: 8192 });
    let most = 0;
    const sent: Promise<unknown>[] = [];
    for (let index = 0; index < 100; index++) {
      sent.push(producer.send({ topic: "t", value: "x".repeat(1000) }));
      most = Math.max(most, producer.bufferedBytes);
    }
    await settle(clock, Promise.all(sent));
    expect(most).toBeLessThanOrEqual(65_536);
    expect(values(logs[0])).toHaveLength(100);
  });

  test("a caller that never waits is refused instead of filling memory", async () => {
    const { producer, clock } = setUp({ bufferBytes: 65_536 });
    const sent = Array.from({ length: 200 }, () => producer.send({ topic: "t", value: "x".repeat(1000) }));
    const outcomes = await settle(clock, Promise.allSettled(sent));
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.length).toBeGreaterThan(50);
    expect(refused[0]?.reason).toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
  });

  test("post says when to wait, and flush reports the first failure", async () => {
    const { producer, logs, clock, server } = setUp({ bufferBytes: 65_536, batchBytes: 10_000 });
    let accepted = 0;
    while (producer.post({ topic: "t", value: "x".repeat(1000) })) accepted++;
    expect(accepted).toBeGreaterThan(50);
    expect(() => producer.post({ topic: "t", value: "more" })).toThrow("buffer");
    await settle(clock, producer.ready());
    await settle(clock, producer.flush());
    expect(values(logs[0])).toHaveLength(accepted + 1);
    server.interfere = () => new OttlaError("INVALID_RECORD", "no");
    producer.post({ topic: "t", value: "refused" });
    await expect(settle(clock, producer.flush())).rejects.toMatchObject({ code: "INVALID_RECORD" });
    await settle(clock, producer.flush());
  });

  test("a topic that does not exist is an error within two seconds", async () => {
    const { producer, clock } = setUp();
    const sent = producer.send({ topic: "nowhere", value: "a" });
    await expect(settle(clock, sent)).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
    expect(clock.monotonic()).toBeLessThan(2000);
  });

  test("records sent while the topic is looked up keep their order", async () => {
    const { producer, logs, clock } = setUp({ batchBytes: 1000 });
    const sent: Promise<unknown>[] = [];
    for (let index = 0; index < 50; index++) {
      sent.push(producer.send({ topic: "t", value: String(index) }));
      if (index % 10 === 0) await Promise.resolve();
    }
    await settle(clock, Promise.all(sent));
    expect(values(logs[0])).toEqual(Array.from({ length: 50 }, (_, index) => String(index)));
  });

  test("without linger a batch leaves at the next turn, and an idle producer sets no timers", async () => {
    const { producer, logs, clock } = setUp({ lingerMs: 0 });
    await settle(clock, Promise.all(["a", "b"].map((value) => producer.send({ topic: "t", value }))));
    expect(logs[0]?.batches).toHaveLength(1);
    await settle(clock, producer.close());
    expect(clock.pendingTimers).toBe(0);
    // Would never end if a turn asked for another one.
    await clock.runUntilIdle();
  });

  test("close flushes, and a closed producer refuses", async () => {
    const { producer, logs, clock } = setUp({ lingerMs: 60_000 });
    const sent = producer.send({ topic: "t", value: "a" });
    await settle(clock, producer.close());
    await sent;
    expect(values(logs[0])).toEqual(["a"]);
    await expect(producer.send({ topic: "t", value: "b" })).rejects.toThrow("closed");
  });

  test("settings out of bounds are refused by name", () => {
    expect(() => setUp({ lingerMs: -1 })).toThrow("lingerMs");
    expect(() => setUp({ idempotent: true, acks: "none" })).toThrow("idempotent");
  });
});
