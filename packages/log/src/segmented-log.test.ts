import { decodeBatches, encodeBatch } from "@ottla/records";
import { MemoryDisk, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog } from "./index.ts";

const logger = { debug() {}, info() {}, warn() {}, error() {} };

test("records survive closing and opening", async () => {
  const clock = new VirtualClock();
  const disk = new MemoryDisk({ clock });
  const open = () =>
    SegmentedLog.open({
      directory: "/data/t-0",
      resources: createLogResources({ disk, clock, random: new SeededRandom(1), logger, tailCacheBytes: 10 }),
      config: { ...DEFAULT_LOG_CONFIG, segmentBytes: 1000 },
    });
  let log = await open();
  for (let i = 0; i < 20; i++) {
    const value = new Uint8Array(100).fill(i);
    const batch = encodeBatch([{ timestampMs: clock.now(), key: null, value }]);
    const appended = log.append(batch, { leaderEpoch: 1, validated: false, origin: "client" });
    expect(appended.baseOffset).toBe(i);
    if (i % 3 === 0) await log.flush();
  }
  await log.flush();
  expect(log.syncedEndOffset).toBe(20);
  expect(log.segmentCount).toBeGreaterThan(2);
  const check = async () => {
    let offset = 0;
    const values: number[] = [];
    while (offset < 20) {
      const result = await log.read(offset, { maxBytes: 300, endOffset: 20 });
      const bytes = Buffer.concat(result.chunks);
      for (const record of decodeBatches(bytes)) values.push(record.value?.[0] ?? -1);
      expect(result.nextOffset).toBeGreaterThan(offset);
      offset = result.nextOffset;
    }
    expect(values).toEqual([...Array(20).keys()]);
  };
  await check();
  await log.close();
  log = await open();
  await check();
  await log.abandon();
  log = await open();
  await check();
  expect(log.recoveryReport.kind).toBe("recovered");
});
