import { expect, test } from "vitest";
import { type RequestHolder, RequestMemory } from "./request-memory.ts";

function holders(memory: RequestMemory, count: number): (RequestHolder & { changes: number })[] {
  return Array.from({ length: count }, () => {
    const holder = {
      changes: 0,
      onReadingChanged: (): void => {
        holder.changes++;
      },
    };
    memory.join(holder);
    return holder;
  });
}

test("nobody reads on when it is full, but the one that has been part-way for the longest", () => {
  const memory = new RequestMemory(100);
  const [first, second, third] = holders(memory, 3);
  if (first === undefined || second === undefined || third === undefined) throw new Error("three holders");
  memory.account(third, 20, false);
  memory.account(first, 40, true);
  expect([first, second, third].map((holder) => memory.mayRead(holder))).toEqual([true, true, true]);
  memory.account(second, 40, true);
  expect(memory.isFull).toBe(true);
  expect([first, second, third].map((holder) => memory.mayRead(holder))).toEqual([true, false, false]);
  expect(third.changes).toBe(1);
  // The first becomes whole: now it is the second's turn.
  memory.account(first, 10, false);
  expect([first, second, third].map((holder) => memory.mayRead(holder))).toEqual([false, true, false]);
  expect(second.changes).toBe(2);
});

test("reading goes on when enough was given back, and a holder that leaves makes way for the next", () => {
  const memory = new RequestMemory(100);
  const [first, second] = holders(memory, 2);
  if (first === undefined || second === undefined) throw new Error("two holders");
  memory.account(first, 60, true);
  memory.account(second, 60, true);
  memory.leave(first);
  expect(memory.mayRead(second)).toBe(true);
  expect(memory.mayRead({ onReadingChanged: () => undefined })).toBe(false);
  memory.account(first, -30, false);
  expect(memory.isFull).toBe(true);
  memory.account(first, -30, true);
  expect(memory.isFull).toBe(false);
  expect(memory.heldBytes).toBe(60);
});
