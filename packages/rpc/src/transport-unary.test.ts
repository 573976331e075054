import { OttlaError } from "@ottla/errors";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { systemClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import type { CallContext } from "./service.ts";
import { aborted, event, failureOf, harnesses } from "./transport-harness.ts";

const never = () => new Promise<never>(() => undefined);

const PEERS = {
  gRPC: /^127\.0\.0\.1:\d+$/u,
  "in-process": /^in-process$/u,
  "in-process, copying": /^in-process$/u,
  simulated: /^peer-\d+$/u,
};

describe.each(harnesses)("a unary call over $name", ({ name, serve }) => {
  test("carries texts of any script and bytes both ways", async () => {
    const served = await serve({
      append: async (request) => ({
        results: [
          {
            partition: request.topic.length,
            baseOffset: BigInt(
              request.payload.value instanceof Uint8Array ? request.payload.value.length : 0,
            ),
          },
        ],
      }),
      fetch: async (request) => ({
        batches: new TextEncoder().encode(request.topic),
        nextOffset: request.offset + 1n,
      }),
    });
    const topic = "größe-トピック-🐟";
    const batch = Uint8Array.from({ length: 1000 }, (_, index) => index % 256);
    const appended = await served.client.append({ topic, payload: { case: "batch", value: batch } });
    expect(appended.results[0]).toMatchObject({ partition: topic.length, baseOffset: 1000n });
    const fetched = await served.client.fetch({ topic, offset: 2n ** 53n });
    expect(new TextDecoder().decode(fetched.batches)).toBe(topic);
    expect(fetched.nextOffset).toBe(2n ** 53n + 1n);
    await served.close();
  });

  test("takes a timeout that no timer holds for none: the call is answered, however late", async () => {
    const served = await serve({
      append: async () => {
        await systemClock.sleep(20);
        return {};
      },
    });
    await expect(served.client.append({}, { timeoutMs: 2 ** 31 - 1 })).resolves.toBeDefined();
    await served.close();
  });

  test("brings an error's code, message and metadata to the caller", async () => {
    const served = await serve({
      append: () => {
        throw new OttlaError("MESSAGE_TOO_LARGE", "Stapel zu groß: 100 % über dem Limit\n🐟", {
          metadata: { limit: "1048588", setting: "max.message.bytes" },
          cause: new Error("only for the server"),
        });
      },
    });
    const error = await served.client.append({}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OttlaError);
    expect(error).toMatchObject({
      code: "MESSAGE_TOO_LARGE",
      message: "Stapel zu groß: 100 % über dem Limit\n🐟",
      metadata: { limit: "1048588", setting: "max.message.bytes" },
    });
    expect((error as Error).cause).toBeUndefined();
    expect(served.logLines).toEqual([]);
    await served.close();
  });

  test("hides the text of a foreign error from the caller and logs it", async () => {
    const served = await serve({
      append: async () => {
        throw new TypeError("cannot open /var/lib/ottla/secret");
      },
    });
    for (let call = 0; call < 3; call += 1) {
      const error = await served.client.append({}).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "UNKNOWN_SERVER_ERROR" });
      expect(String(error)).not.toContain("secret");
    }
    // One line at once; the others are counted in a later one, so that a broken handler cannot flood the log.
    expect(served.logLines).toHaveLength(1);
    expect(served.logLines[0]).toContain("cannot open /var/lib/ottla/secret");
    await served.close();
  });

  test("ends at its deadline on both sides", async () => {
    const reason = event<unknown>();
    const served = await serve({
      append: (_request, context) => {
        expect(context.remainingMs()).toBeGreaterThan(0);
        expect(context.remainingMs()).toBeLessThanOrEqual(60);
        void aborted(context.signal).then(reason.fire);
        return never();
      },
    });
    await expect(served.client.append({}, { timeoutMs: 60 })).rejects.toMatchObject({
      code: "REQUEST_TIMED_OUT",
    });
    expect(["REQUEST_TIMED_OUT", "CANCELLED"]).toContain(((await reason.happened) as OttlaError).code);
    await served.close();
  });

  test("has a deadline of 30 seconds unless told otherwise", async () => {
    const served = await serve({
      initProducer: async (_request, context) => ({
        producerId: BigInt(Math.round(context.remainingMs() ?? 0)),
      }),
    });
    const { producerId } = await served.client.initProducer({});
    expect(Number(producerId)).toBeGreaterThan(20_000);
    expect(Number(producerId)).toBeLessThanOrEqual(30_000);
    await served.close();
  });

  test("is cancelled by the caller's signal, and the handler learns of it", async () => {
    const reason = event<unknown>();
    const started = event();
    const served = await serve({
      append: (_request, context) => {
        void aborted(context.signal).then(reason.fire);
        started.fire();
        return never();
      },
    });
    const controller = new AbortController();
    const call = served.client.append({}, { signal: controller.signal });
    await started.happened;
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await reason.happened).toMatchObject({ code: "CANCELLED" });
    await served.close();
  });

  test("is cancelled on the other side too when it is given up before it has left", async () => {
    const reasons: Promise<unknown>[] = [];
    const settled = event();
    const served = await serve({
      append: (_request, context) => {
        reasons.push(aborted(context.signal));
        return never();
      },
      fetch: async () => {
        await Promise.all(reasons);
        settled.fire();
        return {};
      },
    });
    await served.client.initProducer({});
    for (const later of [0, 1, 2, 4, 8]) {
      const controller = new AbortController();
      const call = failureOf(served.client.append({}, { signal: controller.signal, timeoutMs: 60_000 }));
      for (let microtask = 0; microtask < later; microtask += 1) await Promise.resolve();
      controller.abort();
      expect(await call).toMatchObject({ code: "CANCELLED" });
    }
    await served.client.fetch({});
    await settled.happened;
    await served.close();
  });

  test("passes on why the caller's signal aborted", async () => {
    const served = await serve({ append: never });
    const controller = new AbortController();
    const call = served.client.append({}, { signal: controller.signal });
    controller.abort(new OttlaError("LEADER_NOT_AVAILABLE", "the leader moved"));
    await expect(call).rejects.toMatchObject({ code: "LEADER_NOT_AVAILABLE", message: "the leader moved" });
    await served.close();
  });

  test("does not begin when its signal has aborted already", async () => {
    let calls = 0;
    const served = await serve({
      append: async () => {
        calls += 1;
        return {};
      },
    });
    const signal = AbortSignal.abort();
    await expect(served.client.append({}, { signal })).rejects.toMatchObject({ code: "CANCELLED" });
    await served.client.fetch({});
    expect(calls).toBe(0);
    await served.close();
  });

  test("refuses a request and an answer above the message limit, naming both sizes", async () => {
    const served = await serve(
      { fetch: async ({ maxBytes }) => ({ batches: new Uint8Array(maxBytes) }) },
      { maxMessageBytes: 10_000 },
    );
    const payload = { case: "batch", value: new Uint8Array(10_001) } as const;
    await expect(served.client.append({ payload })).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
      message: expect.stringMatching(/the request has \d+ bytes: the limit for one message is 10000 bytes/u),
    });
    await expect(served.client.fetch({ maxBytes: 10_001 })).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
      message: expect.stringMatching(/the answer has \d+ bytes: the limit for one message is 10000 bytes/u),
      metadata: { limitBytes: "10000" },
    });
    expect((await served.client.fetch({ maxBytes: 9000 })).batches).toHaveLength(9000);
    await served.close();
  });

  test("of a service that is not served is UNIMPLEMENTED", async () => {
    const served = await serve({});
    const admin = createClient(AdminService, served.transport);
    await expect(admin.describeCluster({})).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
    await served.close();
  });

  test("runs beside many others", async () => {
    const served = await serve({ fetch: async ({ offset }) => ({ nextOffset: offset + 1n }) });
    const calls = Array.from({ length: 500 }, (_, offset) => served.client.fetch({ offset: BigInt(offset) }));
    const answers = await Promise.all(calls);
    expect(answers.map(({ nextOffset }) => Number(nextOffset))).toEqual(calls.map((_, offset) => offset + 1));
    await served.close();
  });

  test("tells the handler its method, peer and metadata", async () => {
    let seen: CallContext | undefined;
    const served = await serve({
      append: async (_request, context) => {
        seen = context;
        return {};
      },
    });
    await served.client.append({}, { metadata: { "client-id": "probe" } });
    expect(seen?.method).toBe("ottla.v1.LogService/Append");
    expect(seen?.peer).toMatch(PEERS[name]);
    expect(seen?.metadata.get("client-id")).toBe("probe");
    expect(seen?.signal.aborted).toBe(false);
    await served.close();
  });

  test("never runs its handler within the caller's own call", async () => {
    let running = false;
    const served = await serve({
      append: async () => {
        running = true;
        return {};
      },
    });
    const call = served.client.append({});
    expect(running).toBe(false);
    await call;
    expect(running).toBe(true);
    await served.close();
  });

  test("fails with UNAVAILABLE when its transport closes, and no call starts after that", async () => {
    const started = event();
    const reason = event<unknown>();
    const served = await serve({
      append: (_request, context) => {
        void aborted(context.signal).then(reason.fire);
        started.fire();
        return never();
      },
    });
    const call = served.client.append({});
    const failure = failureOf(call);
    await started.happened;
    await served.transport.close();
    expect(await failure).toMatchObject({ code: "UNAVAILABLE" });
    expect(await reason.happened).toMatchObject({ code: "CANCELLED" });
    await expect(served.client.append({})).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await served.close();
  });
});

describe.each(harnesses.filter(({ name }) => name !== "in-process"))(
  "a unary call over $name",
  ({ serve }) => {
    test("whose request cannot be encoded names the field", async () => {
      const served = await serve({});
      await expect(served.client.fetch({ partition: 2 ** 40 })).rejects.toMatchObject({
        code: "INVALID_REQUEST",
        message: expect.stringContaining("partition"),
      });
      await served.close();
    });
  },
);
