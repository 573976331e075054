import { expect, test } from "vitest";
import { RequestOrder } from "./request-order.ts";

test("a preparation begins when the one before it is over, also when that one failed", async () => {
  const order = new RequestOrder();
  const begun: number[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const preparations = [0, 1, 2].map((index) =>
    order.enter(async () => {
      begun.push(index);
      await gates[index]?.promise;
      return index;
    }),
  );
  const outcomes = Promise.allSettled(preparations);
  await Promise.resolve();
  expect(begun).toEqual([0]);
  expect(order.isFree).toBe(false);
  gates[0]?.reject(new Error("refused"));
  gates[1]?.resolve();
  expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(begun).toEqual([0, 1, 2]);
  await order.enter(async () => undefined);
  await new Promise((resolve) => queueMicrotask(() => queueMicrotask(() => resolve(undefined))));
  expect(order.isFree).toBe(true);
});
