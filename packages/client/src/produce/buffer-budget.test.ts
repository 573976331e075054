import { describe, expect, test } from "vitest";
import { BufferBudget } from "./buffer-budget.ts";

describe("BufferBudget", () => {
  test("what does not fit waits in order, a small one behind a large one too", () => {
    const budget = new BufferBudget(100);
    const granted: string[] = [];
    expect(budget.tryTake(80)).toBe(true);
    expect(budget.tryTake(30)).toBe(false);
    budget.whenTaken(90, () => granted.push("large"));
    expect(budget.tryTake(1)).toBe(false);
    budget.whenTaken(1, () => granted.push("small"));
    expect(budget.waitingBytes).toBe(91);
    budget.give(80);
    expect(granted).toEqual(["large", "small"]);
    expect(budget.usedBytes).toBe(91);
    expect(budget.waitingBytes).toBe(0);
  });

  test("one as large as the buffer is taken when nothing else is there", () => {
    const budget = new BufferBudget(100);
    expect(budget.tryTake(100)).toBe(true);
    expect(budget.hasRoom).toBe(false);
    let granted = false;
    budget.whenTaken(0, () => {
      granted = true;
    });
    expect(granted).toBe(false);
    budget.give(100);
    expect(granted).toBe(true);
  });

  test("many waiting ones are granted once each", () => {
    const budget = new BufferBudget(10);
    budget.take(10);
    let grants = 0;
    for (let index = 0; index < 5000; index++) budget.whenTaken(10, () => grants++);
    for (let index = 0; index < 5000; index++) budget.give(10);
    expect(grants).toBe(5000);
    budget.give(10);
    expect(budget.usedBytes).toBe(0);
    expect(budget.waitingCount).toBe(0);
  });
});
