import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MemberToAssign } from "./assignor.ts";
import { assignRange } from "./range-assignor.ts";
import { fromLists, NO_PARTITIONS, type TopicPartitions } from "./topic-partitions.ts";
import { assignUniform } from "./uniform-assignor.ts";

function member(
  memberId: string,
  topics: readonly string[],
  before: TopicPartitions = NO_PARTITIONS,
): MemberToAssign {
  return { memberId, instanceId: null, topicIds: new Set(topics), before };
}

function countOf(partitions: TopicPartitions | undefined): number {
  let count = 0;
  for (const ofTopic of partitions?.values() ?? []) count += ofTopic.size;
  return count;
}

function movedCount(before: TopicPartitions, after: TopicPartitions | undefined): number {
  let count = 0;
  for (const [topicId, partitions] of before) {
    for (const partition of partitions) if (after?.get(topicId)?.has(partition) !== true) count += 1;
  }
  return count;
}

const topicIds = fc.subarray(["a", "b", "c", "d"]);
const counts = fc.tuple(fc.nat(12), fc.nat(12), fc.nat(12)).map(
  ([a, b, c]) =>
    new Map([
      ["a", a],
      ["b", b],
      ["c", c],
    ]),
);

describe.each([
  ["uniform", assignUniform],
  ["range", assignRange],
])("the assignor %s", (_, assign) => {
  test("gives every partition of a subscribed topic to one of its subscribers, and no other", () => {
    fc.assert(
      fc.property(fc.array(topicIds, { maxLength: 6 }), counts, (subscriptions, partitions) => {
        const members = subscriptions.map((topics, index) => member(`m${index}`, topics));
        const given = new Map<string, string>();
        for (const [memberId, topics] of assign(members, partitions)) {
          for (const [topicId, ofTopic] of topics) {
            expect(subscriptions[Number(memberId.slice(1))]).toContain(topicId);
            for (const partition of ofTopic) {
              expect(given.has(`${topicId}-${partition}`)).toBe(false);
              given.set(`${topicId}-${partition}`, memberId);
            }
          }
        }
        const subscribed = new Set(subscriptions.flat());
        const expected = [...partitions].reduce(
          (sum, [topicId, count]) => sum + (subscribed.has(topicId) ? count : 0),
          0,
        );
        expect(given.size).toBe(expected);
      }),
    );
  });
});

describe("the assignor uniform", () => {
  test("members with the same topics differ by at most one partition", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), counts, (size, partitions) => {
        const members = Array.from({ length: size }, (_, index) => member(`m${index}`, ["a", "b", "c"]));
        const shares = [...assignUniform(members, partitions).values()].map(countOf);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("a member that comes takes its share, and nothing else moves", () => {
    const partitions = new Map([["a", 1_000]]);
    const before = assignUniform(
      Array.from({ length: 99 }, (_, index) => member(`m${index}`, ["a"])),
      partitions,
    );
    const members = [
      ...[...before].map(([memberId, had]) => member(memberId, ["a"], had)),
      member("new", ["a"]),
    ];
    const after = assignUniform(members, partitions);
    expect(countOf(after.get("new"))).toBe(10);
    const moved = [...before].reduce((sum, [memberId, had]) => sum + movedCount(had, after.get(memberId)), 0);
    expect(moved).toBe(10);
  });

  test("different subscriptions are evened out as far as they allow", () => {
    const partitions = new Map([
      ["a", 6],
      ["b", 6],
    ]);
    const after = assignUniform(
      [member("both", ["a", "b"]), member("a", ["a"]), member("b", ["b"])],
      partitions,
    );
    expect([...after.values()].map(countOf).toSorted((x, y) => x - y)).toEqual([4, 4, 4]);
  });
});

test("the assignor range gives the same partitions of joined topics to the same member", () => {
  const partitions = new Map([
    ["a", 5],
    ["b", 5],
  ]);
  const given = assignRange([member("y", ["a", "b"]), member("x", ["a", "b"])], partitions);
  expect(given.get("x")).toEqual(
    fromLists([
      { topicId: "a", partitions: [0, 1, 2] },
      { topicId: "b", partitions: [0, 1, 2] },
    ]),
  );
  expect(given.get("y")).toEqual(
    fromLists([
      { topicId: "a", partitions: [3, 4] },
      { topicId: "b", partitions: [3, 4] },
    ]),
  );
});
