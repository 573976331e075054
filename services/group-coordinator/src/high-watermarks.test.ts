import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { HighWatermarks } from "./high-watermarks.ts";

test("lag is what is not committed, and lasts since such a record came", async () => {
  const clock = new VirtualClock();
  const marks = new HighWatermarks(clock);
  expect(marks.lag("p", 0)).toBeUndefined();
  marks.saw("p", 10);
  await clock.advance(15_000);
  marks.saw("p", 20);
  await clock.advance(15_000);
  marks.saw("p", 20);
  expect(marks.lag("p", 20)).toEqual({ records: 0, ms: 0 });
  expect(marks.lag("p", 15)).toEqual({ records: 5, ms: 21_000 });
  expect(marks.lag("p", 3)).toEqual({ records: 17, ms: 30_000 });
  // Committed beyond what the scrape has seen: never negative.
  expect(marks.lag("p", 25)).toEqual({ records: 0, ms: 0 });
});

test("many scrapes do not fill memory, and old lag is still old", async () => {
  const clock = new VirtualClock();
  const marks = new HighWatermarks(clock);
  for (let offset = 1; offset <= 10_000; offset += 1) {
    marks.saw("p", offset);
    await clock.advance(1_000);
  }
  expect(marks.lag("p", 9_999)).toEqual({ records: 1, ms: 1_000 });
  for (const offset of [10, 5_000, 9_000, 9_900]) {
    const seconds = (marks.lag("p", offset)?.ms ?? 0) / 1_000;
    expect(Math.abs(seconds - (10_000 - offset))).toBeLessThan(2);
  }
  marks.keepOnly(new Map());
  expect(marks.lag("p", 0)).toBeUndefined();
});
