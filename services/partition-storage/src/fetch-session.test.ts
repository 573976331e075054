import { create } from "@bufbuild/protobuf";
import { type FetchRequest, FetchRequestSchema } from "@ottla/proto/ottla/internal/v1/storage";
import { createMetricsRegistry } from "@ottla/runtime";
import { expect, test } from "vitest";
import { FetchSession } from "./fetch-session.ts";
import { StorageMetrics } from "./storage-metrics.ts";
import { createTestReplica } from "./test-replica.ts";

async function setUp() {
  const { clock, purgatoryLimit, replica } = createTestReplica();
  void replica.openLog();
  await clock.runUntilIdle();
  const { leader } = replica;
  if (leader === undefined) throw new Error("the partition is not led");
  const metrics = new StorageMetrics(createMetricsRegistry());
  const serve = (requests: AsyncIterable<FetchRequest>): Promise<void> =>
    new FetchSession({
      stream: { received: requests, send: () => true, drained: async () => undefined },
      leaders: { find: () => leader, findReadable: () => leader, waitFor: async () => leader },
      clock,
      metrics,
      maxConcurrentReads: 8,
      maxOpenFetches: 10,
    }).run();
  return { purgatoryLimit, serve };
}

test("fetches that are asked for and cancelled in one message leave none waiting", async () => {
  const { purgatoryLimit, serve } = await setUp();
  const entry = { topicId: "t", partition: 0, leaderEpoch: 3, offset: 0n, minBytes: 1, maxWaitMs: 60_000 };
  const waiting: number[] = [];
  async function* requests(): AsyncGenerator<FetchRequest> {
    const ids = [1n, 2n, 3n];
    const entries = ids.map((correlationId) => ({ ...entry, correlationId }));
    yield create(FetchRequestSchema, { entries, cancelled: [1n, 3n] });
    waiting.push(purgatoryLimit.waiting);
    yield create(FetchRequestSchema, { cancelled: [2n] });
    waiting.push(purgatoryLimit.waiting);
  }
  await serve(requests());
  expect(waiting).toEqual([1, 0]);
});
