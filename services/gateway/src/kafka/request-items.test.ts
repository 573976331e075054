import { systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { checkItemCount, firstOfEach, inSlices, MAX_ITEMS } from "./request-items.ts";

test("the first of each key is kept, in order", () => {
  expect(firstOfEach(["a1", "b1", "a2"], (item) => item.slice(0, 1))).toEqual(["a1", "b1"]);
});

test("other work gets its turn between slices, and answers keep their order", async () => {
  let turns = 0;
  const numbers = Array.from({ length: 1_000 }, (_, index) => index);
  const clock = {
    nextTurn: (callback: () => void): void => {
      turns++;
      systemClock.nextTurn(callback);
    },
  };
  expect(await inSlices(clock, numbers, (number) => number)).toEqual(numbers);
  expect(turns).toBe(9);
});

test("more items than the limit are refused by name", () => {
  expect(() => checkItemCount("topics", MAX_ITEMS)).not.toThrow();
  expect(() => checkItemCount("topics", MAX_ITEMS + 1)).toThrow(/topics: 10001 exceeds the limit 10000/);
});
