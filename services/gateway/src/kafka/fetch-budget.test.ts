import { expect, test } from "vitest";
import { FetchBudget } from "./fetch-budget.ts";

const MIB = 1024 * 1024;

test("a fetch alone gets what it wants, up to a quarter of all there is", () => {
  const budget = new FetchBudget(256 * MIB);
  expect(budget.grant(MIB)).toBe(MIB);
  expect(new FetchBudget(256 * MIB).grant(100 * MIB)).toBe(64 * MIB);
});

test("clients that never take their answers leave room for others, who always get a little", () => {
  const budget = new FetchBudget(256 * MIB);
  for (let index = 0; index < 1_000; index++) budget.grant(55 * MIB);
  // The many small grants on top are what lets everybody go on.
  expect(budget.takenBytes).toBeLessThan(256 * MIB + 1_000 * 64 * 1024);
  expect(budget.grant(MIB)).toBe(64 * 1024);
});

test("what is given back can be granted again", () => {
  const budget = new FetchBudget(4 * MIB);
  budget.give(budget.grant(MIB));
  expect(budget.takenBytes).toBe(0);
  expect(budget.grant(MIB)).toBe(MIB);
});
