import { OttlaError } from "@ottla/errors";
import { describe, expect, test } from "vitest";
import { aborted, collect, event, harnesses } from "./transport-harness.ts";

describe.each(harnesses)("a stream over $name", ({ serve }) => {
  test("brings a server's messages in order and then ends", async () => {
    const served = await serve({
      read: async (request, stream) => {
        for (let index = 0; index < 1000; index += 1) {
          stream.send({ topic: request.positions[0]?.topic ?? "", nextOffset: BigInt(index) });
        }
      },
    });
    const messages = await collect(served.client.read({ positions: [{ topic: "orders" }] }).received);
    expect(messages.map(({ nextOffset }) => Number(nextOffset))).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
    expect(messages[0]?.topic).toBe("orders");
    await served.close();
  });

  // The gRPC server frees the encoded bytes of an answer once grpc-js has copied them, nothing of its sender.
  test("brings large answers whole, and leaves their bytes to who sent them", async () => {
    const batches = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251);
    const served = await serve({
      read: async (_request, stream) => {
        for (let index = 0; index < 20; index += 1) {
          if (!stream.send({ nextOffset: BigInt(index), batches })) await stream.drained();
        }
      },
    });
    const messages = await collect(served.client.read({}).received);
    expect(messages.map(({ nextOffset }) => Number(nextOffset))).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
    expect(messages.every((message) => Buffer.compare(message.batches, batches) === 0)).toBe(true);
    expect(batches).toHaveLength(1_000_000);
    await served.close();
  });

  test("carries messages both ways at once and ends when both sides are done", async () => {
    const served = await serve({
      produce: async (stream) => {
        for await (const { correlationId } of stream.received) stream.send({ correlationId });
        stream.send({ correlationId: -1n });
      },
    });
    const stream = served.client.produce();
    for (let index = 0; index < 500; index += 1) stream.send({ correlationId: BigInt(index) });
    const answers = stream.received[Symbol.asyncIterator]();
    expect((await answers.next()).value?.correlationId).toBe(0n);
    for (let index = 500; index < 1000; index += 1) stream.send({ correlationId: BigInt(index) });
    stream.end();
    let last = 0n;
    let count = 1;
    for (let next = await answers.next(); next.done !== true; next = await answers.next()) {
      last = next.value.correlationId;
      count += 1;
    }
    expect({ last, count }).toEqual({ last: -1n, count: 1001 });
    await served.close();
  });

  test("delivers what was sent before an error, then the error", async () => {
    const goOn = event();
    const served = await serve({
      read: async (_request, stream) => {
        stream.send({ nextOffset: 1n });
        stream.send({ nextOffset: 2n });
        await goOn.happened;
        throw new OttlaError("OFFSET_OUT_OF_RANGE", "offset 3 is gone", {
          metadata: { logStartOffset: "9" },
        });
      },
    });
    const answers = served.client.read({}).received[Symbol.asyncIterator]();
    expect((await answers.next()).value?.nextOffset).toBe(1n);
    goOn.fire();
    expect((await answers.next()).value?.nextOffset).toBe(2n);
    await expect(answers.next()).rejects.toMatchObject({
      code: "OFFSET_OUT_OF_RANGE",
      message: "offset 3 is gone",
      metadata: { logStartOffset: "9" },
    });
    await served.close();
  });

  test("that its caller cancels aborts the handler's signal and fails what it waits for", async () => {
    const seen = event<unknown[]>();
    const started = event();
    const served = await serve({
      produce: async (stream, context) => {
        const answers = stream.received[Symbol.asyncIterator]();
        await answers.next();
        started.fire();
        const next = answers.next().catch((error: unknown) => error);
        seen.fire([await aborted(context.signal), await next, stream.send({})]);
      },
    });
    const stream = served.client.produce();
    stream.send({ correlationId: 1n });
    await started.happened;
    stream.cancel();
    await expect(collect(stream.received)).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(stream.drained()).rejects.toMatchObject({ code: "CANCELLED" });
    expect(stream.send({})).toBe(false);
    expect(await seen.happened).toEqual([
      expect.objectContaining({ code: "CANCELLED" }),
      expect.objectContaining({ code: "CANCELLED" }),
      false,
    ]);
    await served.close();
  });

  test("is cancelled when its reader leaves the loop", async () => {
    const reason = event<unknown>();
    const served = await serve({
      read: async (_request, stream, context) => {
        stream.send({});
        reason.fire(await aborted(context.signal));
      },
    });
    for await (const _ of served.client.read({}).received) break;
    expect(await reason.happened).toMatchObject({ code: "CANCELLED" });
    await served.close();
  });

  test("is cancelled by its signal, and ends at its deadline", async () => {
    const served = await serve({
      read: (_request, _stream, context) => aborted(context.signal).then(() => undefined),
    });
    const controller = new AbortController();
    const cancelled = collect(served.client.read({}, { signal: controller.signal }).received);
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ code: "CANCELLED" });
    const late = collect(served.client.read({}, { timeoutMs: 50 }).received);
    await expect(late).rejects.toMatchObject({ code: "REQUEST_TIMED_OUT" });
    await served.close();
  });

  test("that failed before it began fails where others fail: at its reader", async () => {
    const served = await serve({}, { maxMessageBytes: 1000 });
    const early = served.client.produce({ signal: AbortSignal.abort() });
    expect(early.send({})).toBe(false);
    await expect(early.drained()).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(collect(early.received)).rejects.toMatchObject({ code: "CANCELLED" });
    const tooLarge = served.client.read({ positions: [{ topic: "x".repeat(2000) }] });
    await expect(collect(tooLarge.received)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    await served.transport.close();
    await expect(collect(served.client.read({}).received)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await served.close();
  });

  test("ends for its caller when the handler is done, though the caller has not ended its side", async () => {
    const served = await serve({
      produce: async (stream) => {
        stream.send({ correlationId: 7n });
      },
    });
    const stream = served.client.produce();
    stream.send({ correlationId: 1n });
    expect(await collect(stream.received)).toMatchObject([{ correlationId: 7n }]);
    expect(stream.send({})).toBe(false);
    await expect(stream.drained()).rejects.toMatchObject({ code: "CANCELLED" });
    await served.close();
  });

  test("refuses one message that is too large and goes on", async () => {
    const served = await serve(
      {
        produce: async (stream) => {
          for await (const { correlationId } of stream.received) {
            try {
              stream.send({
                correlationId,
                outcome: { case: "error", value: { message: "x".repeat(5000) } },
              });
            } catch (error) {
              stream.send({
                correlationId,
                outcome: { case: "error", value: { reason: (error as OttlaError).code } },
              });
            }
          }
        },
      },
      { maxMessageBytes: 4000 },
    );
    const stream = served.client.produce();
    expect(() => stream.send({ topic: "x".repeat(5000) })).toThrow(/the request has \d+ bytes/u);
    stream.send({ correlationId: 3n });
    stream.end();
    const [answer] = await collect(stream.received);
    expect(answer).toMatchObject({
      correlationId: 3n,
      outcome: { value: { reason: "MESSAGE_TOO_LARGE" } },
    });
    await served.close();
  });

  test("whose handler throws at once fails with its error", async () => {
    const served = await serve({
      produce: () => {
        throw new OttlaError("POLICY_VIOLATION", "not today");
      },
    });
    await expect(collect(served.client.produce().received)).rejects.toMatchObject({
      code: "POLICY_VIOLATION",
      message: "not today",
    });
    await served.close();
  });

  test("runs beside many others without mixing them up", async () => {
    const served = await serve({
      produce: async (stream) => {
        for await (const { correlationId, topic } of stream.received) {
          stream.send({ correlationId, outcome: { case: "error", value: { message: topic } } });
        }
      },
    });
    const exchange = async (topic: string) => {
      const stream = served.client.produce();
      for (let index = 0; index < 20; index += 1) stream.send({ topic, correlationId: BigInt(index) });
      stream.end();
      const answers = await collect(stream.received);
      expect(answers).toHaveLength(20);
      expect(
        answers.every(({ outcome }) => outcome.case === "error" && outcome.value.message === topic),
      ).toBe(true);
    };
    await Promise.all(Array.from({ length: 100 }, (_, index) => exchange(`topic-${index}`)));
    await served.close();
  });

  test("never runs the other side within `send`, `end` or `cancel`", async () => {
    const steps: string[] = [];
    const over = event();
    const served = await serve({
      produce: async (stream, context) => {
        context.signal.addEventListener("abort", () => steps.push("aborted"));
        for await (const { correlationId } of stream.received) {
          steps.push(`received ${correlationId}`);
          stream.send({});
        }
        await aborted(context.signal);
        over.fire();
      },
    });
    const stream = served.client.produce();
    stream.send({ correlationId: 1n });
    stream.end();
    expect(steps).toEqual([]);
    await stream.received[Symbol.asyncIterator]().next();
    expect(steps).toEqual(["received 1"]);
    stream.cancel();
    expect(steps).toEqual(["received 1"]);
    await over.happened;
    expect(steps).toEqual(["received 1", "aborted"]);
    await served.close();
  });
});
