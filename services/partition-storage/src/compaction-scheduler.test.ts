import { DEFAULT_LOG_CONFIG } from "@ottla/log";
import { encodeBatch } from "@ottla/records";
import { createMetricsRegistry, nullLogger } from "@ottla/runtime";
import { expect, test } from "vitest";
import { CompactionMetrics } from "./compaction-metrics.ts";
import { CompactionScheduler } from "./compaction-scheduler.ts";
import { createTestReplica, partitionState } from "./test-replica.ts";

const CONFIG = { ...DEFAULT_LOG_CONFIG, cleanupPolicy: ["compact"], segmentBytes: 1000 } as const;

/** A led replica of a compacted topic with many values of one key, and a scheduler that looks each second. */
async function compacted(options: { readonly replicas?: readonly number[]; readonly isFull?: boolean } = {}) {
  const replicas = options.replicas ?? [1];
  const state = partitionState({ replicas: [...replicas], isr: [1] });
  const parts = createTestReplica({ state, log: { config: CONFIG } });
  const { clock, replica } = parts;
  replica.assign({ state, config: CONFIG });
  const opened = replica.openLog();
  await clock.runUntilIdle();
  await opened;
  const { log } = replica;
  if (log === undefined) throw new Error("the log is not open");
  for (let count = 0; count < 30; count += 1) {
    const record = { timestampMs: 0, key: Buffer.from("key"), value: Buffer.alloc(200, count) };
    log.append(encodeBatch([record]), { leaderEpoch: 3, validated: true, origin: "client" });
  }
  await clock.runUntilIdle();
  const registry = createMetricsRegistry();
  const spaceGuard = { isFull: options.isFull ?? false };
  const scheduler = new CompactionScheduler({
    store: { replicas: () => [replica] },
    clock,
    logger: nullLogger,
    metrics: new CompactionMetrics(registry),
    checkIntervalMs: 1000,
    bytesPerSecond: Infinity,
    memoryBytes: 10_000,
    spaceGuard,
  });
  return { ...parts, log, registry, scheduler, spaceGuard };
}

test("what is due is compacted at the next look, and counted", async () => {
  const { clock, log, registry } = await compacted();
  const before = log.sizeBytes;
  await clock.advance(1000);
  await clock.runUntilIdle();
  expect(log.sizeBytes).toBeLessThan(before / 2);
  expect(log.logEndOffset).toBe(30);
  const text = await registry.metrics();
  expect(text).toMatch(/compaction_removed_records_total 2\d/);
  expect(text).toContain("compaction_max_dirty_ratio 0");
});

test("on a full disk nothing is compacted, and later it is", async () => {
  const { clock, log, spaceGuard } = await compacted({ isFull: true });
  const before = log.sizeBytes;
  await clock.advance(1000);
  await clock.runUntilIdle();
  expect(log.sizeBytes).toBe(before);
  spaceGuard.isFull = false;
  await clock.advance(1000);
  await clock.runUntilIdle();
  expect(log.sizeBytes).toBeLessThan(before / 2);
});

test("damage is reported once, noted on disk, and the log left alone (R12)", async () => {
  const { clock, disk, log, node, registry } = await compacted({ replicas: [1, 2, 3] });
  await log.deleteRecordsBefore(0);
  disk.flipBit("/log/00000000000000000000.log", { position: 100 });
  for (let look = 0; look < 3; look += 1) {
    await clock.advance(1000);
    await clock.runUntilIdle();
  }
  expect(node.reports.filter(({ kind }) => kind === "damaged")).toEqual([{ kind: "damaged", fromOffset: 0 }]);
  expect(log.damagedFrom).toBe(0);
  expect(await registry.metrics()).toContain("compaction_damaged_partitions 1");
});

test("a scheduler that stops begins nothing, and ends with the log that it compacts", async () => {
  const { clock, log, replica, scheduler } = await compacted();
  await clock.advance(1000);
  scheduler.stop();
  const closed = replica.close();
  await clock.runUntilIdle();
  await closed;
  await scheduler.ended();
  expect(replica.log).toBeUndefined();
  expect(log.failure).toBeUndefined();
});
