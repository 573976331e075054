import { expect, test } from "vitest";
import { ByteBudget } from "./byte-budget.ts";

const never = new AbortController().signal;

test("bytes beyond the budget wait their turn, in order", async () => {
  const budget = new ByteBudget(10);
  const taken: string[] = [];
  expect(budget.tryTake(8)).toBe(true);
  const large = budget.take(9, never).then(() => taken.push("large"));
  const small = budget.take(1, never).then(() => taken.push("small"));
  // The small one would fit, but it must not starve the large one before it.
  expect(budget.tryTake(1)).toBe(false);
  budget.give(8);
  await Promise.all([large, small]);
  expect(taken).toEqual(["large", "small"]);
  expect(budget.takenBytes).toBe(10);
});

test("what is larger than the whole budget goes when it is alone", async () => {
  const budget = new ByteBudget(10);
  expect(budget.tryTake(1)).toBe(true);
  const huge = budget.take(1_000, never);
  budget.give(1);
  expect(await huge).toBe(true);
  expect(budget.tryTake(1)).toBe(false);
});

test("one who gives up waiting lets the next one in", async () => {
  const budget = new ByteBudget(10);
  budget.tryTake(5);
  const patience = new AbortController();
  const impatient = budget.take(9, patience.signal);
  const next = budget.take(5, never);
  patience.abort();
  expect(await impatient).toBe(false);
  expect(await next).toBe(true);
  expect(await budget.take(1, AbortSignal.abort())).toBe(false);
});
