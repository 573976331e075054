import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { CatchUpThrottle } from "./catch-up-throttle.ts";

const KIBIBYTE = 1024;

test("over some time no more is given than the rate allows, whoever asks", async () => {
  const clock = new VirtualClock();
  const throttle = new CatchUpThrottle({ bytesPerSecond: 1_000 * KIBIBYTE, clock });
  const taken = [0, 0];
  const ask = (who: number): void => {
    taken[who] = (taken[who] ?? 0) + throttle.take(100 * KIBIBYTE);
    throttle.wait(() => ask(who));
  };
  ask(0);
  ask(1);
  for (let step = 0; step < 100; step += 1) await clock.advance(100);
  const total = (taken[0] ?? 0) + (taken[1] ?? 0);
  // Ten seconds and the two before them.
  expect(total).toBeLessThanOrEqual(12_000 * KIBIBYTE);
  expect(total).toBeGreaterThan(10_000 * KIBIBYTE);
  // Neither of the two starves.
  expect(Math.min(...taken)).toBeGreaterThan(total / 4);
});

test("tiny pieces wait until they are worth a message, unless less is wanted", () => {
  const clock = new VirtualClock();
  const throttle = new CatchUpThrottle({ bytesPerSecond: 64 * KIBIBYTE, clock });
  expect(throttle.take(60 * KIBIBYTE)).toBe(60 * KIBIBYTE);
  expect(throttle.take(1_000 * KIBIBYTE)).toBe(0);
  expect(throttle.take(2 * KIBIBYTE)).toBe(2 * KIBIBYTE);
});

test("what was left unused for a moment is made up for, a little faster than the rate", async () => {
  const clock = new VirtualClock();
  const throttle = new CatchUpThrottle({ bytesPerSecond: 1_000 * KIBIBYTE, clock });
  const takeFor = async (seconds: number): Promise<number> => {
    let taken = 0;
    for (let step = 0; step < seconds * 20; step += 1) {
      taken += throttle.take(1_000_000_000);
      await clock.advance(50);
    }
    return taken / KIBIBYTE;
  };
  // For longer than it may make up for.
  await clock.advance(60_000);
  const first = await takeFor(2);
  expect(first).toBeGreaterThan(2_400);
  expect(first).toBeLessThanOrEqual(2_000 * 1.25 + 125);
  expect(first + (await takeFor(18))).toBeLessThanOrEqual(20_000 + 2_000);
  expect(await takeFor(10)).toBeLessThanOrEqual(10_000);
});
