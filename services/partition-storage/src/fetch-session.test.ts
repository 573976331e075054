import { create } from "@bufbuild/protobuf";
import { createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog } from "@ottla/log";
import { type FetchRequest, FetchRequestSchema } from "@ottla/proto/ottla/internal/v1/storage";
import {
  createMetricsRegistry,
  Deadlines,
  MemoryDisk,
  nullLogger,
  SeededRandom,
  VirtualClock,
} from "@ottla/runtime";
import { expect, test } from "vitest";
import { FetchSession } from "./fetch-session.ts";
import { PartitionLeader } from "./partition-leader.ts";
import { StorageMetrics } from "./storage-metrics.ts";
import { FetchPurgatoryLimit } from "./waiting-fetches.ts";

async function setUp() {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const resources = createLogResources({ disk, clock, random, logger: nullLogger });
  const log = await SegmentedLog.open({ directory: "/log", resources, config: DEFAULT_LOG_CONFIG });
  const purgatoryLimit = new FetchPurgatoryLimit(100);
  const leader = new PartitionLeader({
    name: "t-0",
    nodeId: 1,
    log,
    term: { leaderEpoch: 3, isr: [1], minInsyncReplicas: 1 },
    deadlines: new Deadlines({ clock }),
    purgatoryLimit,
  });
  const metrics = new StorageMetrics(createMetricsRegistry());
  const serve = (requests: AsyncIterable<FetchRequest>): Promise<void> =>
    new FetchSession({
      stream: { received: requests, send: () => true, drained: async () => undefined },
      leaders: { find: () => leader, waitFor: async () => leader },
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
