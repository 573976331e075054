import { describe, expect, test } from "vitest";
import { event, harnesses, type Served } from "./transport-harness.ts";

const KIBIBYTE = 1024;
const MESSAGE_BYTES = 64 * KIBIBYTE;
const MESSAGES = 1000;
const limits = {
  maxUnsentBytesPerStream: 256 * KIBIBYTE,
  maxUnreadBytesPerStream: 256 * KIBIBYTE,
  windowBytes: 64 * KIBIBYTE,
};
/**
 * Both limits, the HTTP/2 windows and what the kernel's sockets hold: far below the 62
 * MiB that want to be sent.
 */
const BOUND_BYTES = 12 * 1024 * KIBIBYTE;

/** Waits until a count stands still while calls on the same transport go to and fro: no clock is involved. */
async function standsStill(served: Served, count: () => number): Promise<number> {
  for (;;) {
    const before = count();
    for (let round = 0; round < 40; round += 1) await served.client.fetch({});
    if (before > 0 && count() === before) return before;
  }
}

describe.each(harnesses)("a stream over $name", ({ serve }) => {
  test("holds up a server whose client does not read", async () => {
    let sent = 0;
    const batches = new Uint8Array(MESSAGE_BYTES);
    const served = await serve(
      {
        read: async (_request, stream) => {
          for (; sent < MESSAGES; sent += 1) {
            if (!stream.send({ batches })) await stream.drained();
          }
        },
      },
      limits,
    );
    const stream = served.client.read({});
    const unread = await standsStill(served, () => sent);
    expect(unread * MESSAGE_BYTES).toBeLessThan(BOUND_BYTES);
    let received = 0;
    for await (const message of stream.received) received += message.batches.length;
    expect(received).toBe(MESSAGES * MESSAGE_BYTES);
    await served.close();
  });

  test("holds up a client whose handler does not read", async () => {
    const goOn = event();
    let received = 0;
    const served = await serve(
      {
        produce: async (stream) => {
          await goOn.happened;
          for await (const { payload } of stream.received) {
            if (payload.case === "batch") received += payload.value.length;
          }
          stream.send({ correlationId: BigInt(received) });
        },
      },
      limits,
    );
    const stream = served.client.produce();
    let sent = 0;
    const sending = (async () => {
      const payload = { case: "batch", value: new Uint8Array(MESSAGE_BYTES) } as const;
      for (; sent < MESSAGES; sent += 1) {
        if (!stream.send({ payload })) await stream.drained();
      }
      stream.end();
    })();
    const unread = await standsStill(served, () => sent);
    expect(unread * MESSAGE_BYTES).toBeLessThan(BOUND_BYTES);
    goOn.fire();
    await sending;
    const answer = await stream.received[Symbol.asyncIterator]().next();
    expect(Number(answer.value?.correlationId)).toBe(MESSAGES * MESSAGE_BYTES);
    await served.close();
  });

  test("counts empty messages too: they cannot queue without limit", async () => {
    const served = await serve({ read: () => new Promise(() => undefined) }, limits);
    const stream = served.client.produce();
    let sent = 0;
    while (sent < 100_000 && stream.send({})) sent += 1;
    expect(sent).toBeLessThan(100_000);
    stream.cancel();
    await served.close();
  });

  test("that stands still does not hold up others of its connection", async () => {
    const served = await serve(
      {
        read: async (_request, stream) => {
          for (let sent = 0; sent < MESSAGES; sent += 1) {
            if (!stream.send({ batches: new Uint8Array(MESSAGE_BYTES) })) await stream.drained();
          }
        },
        fetch: async () => ({ batches: new Uint8Array(MESSAGE_BYTES) }),
      },
      limits,
    );
    const stalled = served.client.read({});
    for (let call = 0; call < 20; call += 1) {
      expect((await served.client.fetch({})).batches).toHaveLength(MESSAGE_BYTES);
    }
    stalled.cancel();
    await served.close();
  });
});
