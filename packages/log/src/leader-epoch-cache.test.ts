import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeLeaderEpochs, LeaderEpochCache, parseLeaderEpochs } from "./leader-epoch-cache.ts";

function cacheOf(...entries: readonly (readonly [number, number])[]): LeaderEpochCache {
  return new LeaderEpochCache(entries.map(([epoch, startOffset]) => ({ epoch, startOffset })));
}

test("an epoch ends where the next one begins, the latest at the log's end", () => {
  const cache = cacheOf([2, 0], [5, 10], [6, 20]);
  expect(cache.endOffsetFor(1, 30)).toBeUndefined();
  expect(cache.endOffsetFor(2, 30)).toEqual({ epoch: 2, endOffset: 10 });
  expect(cache.endOffsetFor(4, 30)).toEqual({ epoch: 2, endOffset: 10 });
  expect(cache.endOffsetFor(6, 30)).toEqual({ epoch: 6, endOffset: 30 });
  expect(cache.endOffsetFor(9, 30)).toEqual({ epoch: 6, endOffset: 30 });
  expect([cache.epochAt(9), cache.epochAt(10), cache.epochAt(99)]).toEqual([2, 5, 6]);
});

test("an epoch that wrote nothing gives way to the next one at the same offset", () => {
  const cache = cacheOf([1, 0]);
  cache.assign(2, 10);
  cache.assign(3, 10);
  cache.assign(3, 15);
  cache.assign(2, 20);
  expect(cache.entries).toEqual([
    { epoch: 1, startOffset: 0 },
    { epoch: 3, startOffset: 10 },
  ]);
});

test("truncation takes whole entries off either end", () => {
  const cache = cacheOf([1, 0], [2, 10], [3, 20]);
  cache.truncateFromEnd(20);
  expect(cache.latestEpoch).toBe(2);
  cache.truncateFromStart(12);
  expect(cache.entries).toEqual([{ epoch: 2, startOffset: 12 }]);
  cache.truncateFromStart(5);
  expect(cache.entries).toEqual([{ epoch: 2, startOffset: 12 }]);
});

test("the checkpoint is Kafka's text, and damaged text is told from good", () => {
  const entries = [
    { epoch: 0, startOffset: 0 },
    { epoch: 4, startOffset: 9_007_199_254_740_000 },
  ];
  expect(encodeLeaderEpochs(entries)).toBe("0\n2\n0 0\n4 9007199254740000\n");
  expect(parseLeaderEpochs(encodeLeaderEpochs(entries))).toEqual(entries);
  for (const text of ["", "0\n", "0\n1\n", "1\n0\n", "0\n2\n1 5\n1 6\n", "0\n2\n1 5\n2 5\n", "0\n1\n1 x\n"]) {
    expect(parseLeaderEpochs(text)).toBe("damaged");
  }
  fc.assert(fc.property(fc.string(), (text) => void parseLeaderEpochs(text)));
});
