import { create } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import { ProduceRequestSchema } from "@ottla/proto/ottla/v1/log";
import { VirtualClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { Fifo } from "./fifo.ts";
import { Mailbox } from "./mailbox.ts";
import { estimateMessageBytes } from "./message-size.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { SendBudget } from "./send-budget.ts";
import { collect } from "./transport-harness.ts";

const failure = new OttlaError("UNAVAILABLE", "gone");

function textQueue() {
  const read: number[] = [];
  let abandoned = 0;
  const queue = new ReceiveQueue<string, string>({
    decode: (text) => {
      if (text === "bad") throw new OttlaError("INVALID_REQUEST", "bad");
      return text.toUpperCase();
    },
    onRead: (sizeBytes) => read.push(sizeBytes),
    onAbandoned: () => {
      abandoned += 1;
    },
  });
  return { queue, read, abandoned: () => abandoned };
}

describe("the queue of received messages", () => {
  test("gives messages in order, before and after their reader asks", async () => {
    const { queue, read } = textQueue();
    const early = [queue.next(), queue.next()];
    queue.push("a", 1);
    queue.push("b", 2);
    queue.push("c", 3);
    expect(queue.unreadBytes).toBe(3);
    expect(await Promise.all(early)).toMatchObject([{ value: "A" }, { value: "B" }]);
    queue.end();
    queue.push("too late", 9);
    expect(await collect(queue)).toEqual(["C"]);
    expect(read).toEqual([1, 2, 3]);
    expect(queue.exhausted).toBe(true);
  });

  test("keeps its order over thousands of messages, read in bursts", async () => {
    const { queue } = textQueue();
    const seen: string[] = [];
    let pushed = 0;
    for (let round = 0; round < 50; round += 1) {
      for (let index = 0; index < 100; index += 1) queue.push(String(pushed++), 1);
      for (let index = 0; index < 60; index += 1) seen.push(String((await queue.next()).value));
    }
    queue.end();
    seen.push(...(await collect(queue)));
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, index) => String(index)));
    expect(queue.unreadBytes).toBe(0);
  });

  test("gives what came before a failure, then the failure, to each that asks", async () => {
    const { queue } = textQueue();
    queue.push("a", 1);
    queue.fail(failure);
    queue.push("b", 1);
    expect(await queue.next()).toMatchObject({ value: "A" });
    await expect(queue.next()).rejects.toBe(failure);
    await expect(queue.next()).rejects.toBe(failure);
  });

  test("drops what was not read when it is discarded, even after its end", async () => {
    const { queue } = textQueue();
    queue.push("a", 1);
    queue.end();
    queue.discard(failure);
    expect(queue.unreadBytes).toBe(0);
    await expect(queue.next()).rejects.toBe(failure);
  });

  test("fails the reader of a message that cannot be decoded", async () => {
    const { queue } = textQueue();
    queue.push("bad", 1);
    await expect(queue.next()).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("goes on taking messages for nobody after its reader has left", async () => {
    const { queue, read, abandoned } = textQueue();
    queue.push("a", 1);
    queue.push("b", 2);
    for await (const _ of queue) break;
    expect(abandoned()).toBe(1);
    queue.push("c", 4);
    expect(read).toEqual([1, 2, 4]);
    expect(queue.unreadBytes).toBe(0);
    expect(await queue.next()).toMatchObject({ done: true });
  });
});

describe("the budget of a sender", () => {
  test("tells it to wait above the limit, and to go on at half of it", async () => {
    const budget = new SendBudget(100);
    expect(budget.add(60)).toBe(true);
    await budget.drained();
    expect(budget.add(60)).toBe(false);
    let drained = false;
    const waiting = budget.drained().then(() => {
      drained = true;
    });
    budget.remove(60);
    await Promise.resolve();
    expect(drained).toBe(false);
    budget.remove(10);
    await waiting;
    expect(budget.unsentBytes).toBe(50);
  });

  test("fails those who wait and those who come later", async () => {
    const budget = new SendBudget(10);
    budget.add(20);
    const waiting = budget.drained();
    budget.fail(failure);
    await expect(waiting).rejects.toBe(failure);
    await expect(budget.drained()).rejects.toBe(failure);
    expect(budget.hasRoom).toBe(false);
  });
});

describe("the mailbox of the in-process transport", () => {
  test("delivers later, in order, and lets the event loop turn now and then", async () => {
    const clock = new VirtualClock({ turns: "manual" });
    const mailbox = new Mailbox(clock);
    const delivered: number[] = [];
    for (let index = 0; index < 300; index += 1) mailbox.post(() => delivered.push(index));
    expect(delivered).toEqual([]);
    await Promise.resolve();
    expect(delivered).toHaveLength(128);
    await clock.runUntilIdle();
    expect(delivered).toEqual(Array.from({ length: 300 }, (_, index) => index));
  });

  test("delivers what a delivery posts after what was there before", async () => {
    const mailbox = new Mailbox(new VirtualClock());
    const order: string[] = [];
    mailbox.post(() => {
      order.push("first");
      mailbox.post(() => order.push("third"));
    });
    mailbox.post(() => order.push("second"));
    await new Promise<void>((resolve) => mailbox.post(() => mailbox.post(resolve)));
    expect(order).toEqual(["first", "second", "third"]);
  });
});

test("a long queue gives its items in order and is not slow", () => {
  const fifo = new Fifo<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 300; round += 1) {
    for (let count = 0; count < 1000; count += 1) fifo.push(next++);
    for (let count = 0; count < 900; count += 1) expected += fifo.shift() === expected ? 1 : 0;
  }
  expect(fifo.length).toBe(30_000);
  for (let item = fifo.shift(); item !== undefined; item = fifo.shift())
    expected += item === expected ? 1 : 0;
  expect(expected).toBe(next);
  expect(fifo.length).toBe(0);
});

test("the estimate of a message's size follows its bytes and texts", () => {
  const batch = create(ProduceRequestSchema, {
    topic: "orders",
    payload: { case: "batch", value: new Uint8Array(100_000) },
  });
  expect(estimateMessageBytes(batch)).toBeGreaterThan(100_000);
  expect(estimateMessageBytes(batch)).toBeLessThan(100_300);
  const records = create(ProduceRequestSchema, {
    payload: {
      case: "records",
      value: { records: [{ value: new Uint8Array(50_000) }, { key: new Uint8Array(7) }] },
    },
  });
  expect(estimateMessageBytes(records)).toBeGreaterThan(50_007);
  expect(estimateMessageBytes(records)).toBeLessThan(50_500);
});
