import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { CompactionPace } from "./compaction-pace.ts";

test("bytes beyond the limit are waited for, and the wait ends when the log is closed", async () => {
  const clock = new VirtualClock();
  const pace = new CompactionPace({ clock, maxBytesPerSecond: 1000 });
  const closing = new AbortController();
  let hasRested = false;
  pace.use(500);
  const rest = pace.rest(closing.signal).then(() => (hasRested = true));
  await clock.runUntilIdle();
  await clock.advance(499);
  expect(hasRested).toBe(false);
  await clock.advance(1);
  await rest;
  pace.use(10_000);
  const cut = pace.rest(closing.signal);
  await clock.runUntilIdle();
  closing.abort(new Error("closed"));
  await expect(cut).rejects.toThrow("closed");
});

test("a slice ends after some milliseconds or bytes, whichever comes first", async () => {
  const clock = new VirtualClock();
  const pace = new CompactionPace({ clock, maxBytesPerSecond: Infinity });
  const { signal } = new AbortController();
  await pace.rest(signal);
  expect(pace.isDue).toBe(false);
  await clock.advance(2);
  expect(pace.isDue).toBe(true);
  await pace.rest(signal);
  pace.use(4 * 1024 * 1024);
  expect(pace.isDue).toBe(true);
});
