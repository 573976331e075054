import { expect, test } from "vitest";
import { Deadlines } from "./deadlines.ts";
import { VirtualClock } from "./virtual-clock.ts";

test("deadlines of one slot share a timer and pass in the order they were set, never early", async () => {
  const clock = new VirtualClock();
  const deadlines = new Deadlines({ clock, resolutionMs: 10 });
  const passed: string[] = [];
  deadlines.set(12, () => passed.push("first"));
  deadlines.set(15, () => passed.push("second"));
  deadlines.set(35, () => passed.push("third"));
  expect(clock.pendingTimers).toBe(2);
  await clock.advance(11);
  expect(passed).toEqual([]);
  await clock.advance(9);
  expect(passed).toEqual(["first", "second"]);
  await clock.advance(20);
  expect(passed).toEqual(["first", "second", "third"]);
});

test("a cancelled deadline does not pass and the last one of a slot takes the timer with it", async () => {
  const clock = new VirtualClock();
  const deadlines = new Deadlines({ clock });
  const passed: string[] = [];
  const other = deadlines.set(20, () => passed.push("other"));
  const one = deadlines.set(20, () => {
    passed.push("one");
    other.cancel();
  });
  one.cancel();
  one.cancel();
  expect(clock.pendingTimers).toBe(1);
  other.cancel();
  expect(clock.pendingTimers).toBe(0);
  await clock.advance(100);
  expect(passed).toEqual([]);
});
