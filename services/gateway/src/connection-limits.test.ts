import { expect, test } from "vitest";
import { ConnectionLimits } from "./connection-limits.ts";

test("one connection's reads follow a bounded number of partitions; others are not touched", async () => {
  const limits = new ConnectionLimits({ maxUnansweredBytes: 1, maxReads: 10, maxReadPartitions: 5 });
  const { signal } = new AbortController();
  const open = Promise.withResolvers<string>();
  const first = limits.withRead({ peer: "a", signal }, 4, () => open.promise);
  await expect(limits.withRead({ peer: "a", signal }, 2, async () => "read")).rejects.toMatchObject({
    code: "THROTTLING_QUOTA_EXCEEDED",
    message:
      "this connection has its limit of 5 partitions in open reads already: close some, or use another connection",
    metadata: { limit: "5" },
  });
  expect(await limits.withRead({ peer: "b", signal }, 5, async () => "read")).toBe("read");
  open.resolve("done");
  expect(await first).toBe("done");
  expect(await limits.withRead({ peer: "a", signal }, 5, async () => "read")).toBe("read");
  expect(limits.connectionCount).toBe(0);
});
