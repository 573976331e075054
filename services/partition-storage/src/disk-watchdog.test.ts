import { MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { DiskWatchdog } from "./disk-watchdog.ts";

test("a disk that hangs is noticed after its time, and that it answers again", async () => {
  const clock = new VirtualClock();
  const memory = new MemoryDisk({ clock, random: new SeededRandom(1) });
  let stalls = 0;
  const watchdog = new DiskWatchdog({
    clock,
    logger: nullLogger,
    timeoutMs: 10_000,
    onStalled: () => {
      stalls += 1;
    },
  });
  watchdog.start();
  const disk = watchdog.watch(memory);
  const opened = disk.open("/file", "write");
  await clock.runUntilIdle();
  const file = await opened;
  const hanging = memory.faults.stall({ operation: "sync" });
  const synced = file.sync();
  await clock.advance(9_000);
  expect(stalls).toBe(0);
  await clock.advance(4_000);
  expect(stalls).toBeGreaterThan(0);
  hanging.release();
  await clock.advance(1_000);
  await synced;
  const before = stalls;
  await clock.advance(60_000);
  expect(stalls).toBe(before);
  watchdog.stop();
});
