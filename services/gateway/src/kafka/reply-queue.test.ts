import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ReplyQueue } from "./reply-queue.ts";

test("answers leave in the order of their requests, and each request is told once that they have", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
      const written: number[] = [];
      const sent: number[] = [];
      const queue = new ReplyQueue((pieces, onSent) => {
        for (const piece of pieces) written.push(piece[0] ?? -1);
        for (const callback of onSent) callback(true);
      });
      const slots = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => queue.open(() => sent.push(index)));
      // Every third request has no answer, as Produce with acks=0.
      for (const index of order) slots[index]?.settle(index % 3 === 2 ? undefined : [Uint8Array.of(index)]);
      expect(written).toEqual([0, 1, 3, 4, 6, 7]);
      expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(queue.unanswered).toBe(0);
    }),
  );
});
