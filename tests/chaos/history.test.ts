import { expect, test } from "vitest";
import { History } from "./history.ts";

const READER = "reader";

/** A history in which a producer has written and a reader has read so many records. */
function historyOf(count: number): History {
  const history = new History(1);
  history.addProducer("p", 0);
  for (let i = 0; i < count; i += 1) {
    history.acknowledged({ producer: "p", sequence: i }, i, 1);
    history.read(READER, 0, i, `p:${i}`);
  }
  return history;
}

test("a history of records that are there, once and in order, has no fault", () => {
  const history = historyOf(3);
  history.checkOrder();
  expect(history.faults).toEqual([]);
});

test("an acknowledged record that another one has taken the place of is a fault", () => {
  const history = historyOf(2);
  history.acknowledged({ producer: "p", sequence: 2 }, 2, 1);
  history.read(READER, 0, 2, "q:0");
  expect(history.faults).toEqual(["reader has read q:0 at offset 2 of partition 0, where p:2 was before"]);
});

test("a record that one reader has seen and another one has not is a fault", () => {
  const history = historyOf(2);
  history.read("other", 0, 0, "p:0");
  history.read("other", 0, 1, "p:2");
  expect(history.faults).toHaveLength(1);
});

test("a reader that is given an offset twice, or not at all, is a fault", () => {
  const history = historyOf(3);
  history.read(READER, 0, 2, "p:2");
  history.read(READER, 0, 4, "p:4");
  expect(history.faults).toEqual([
    "reader was given offset 2 of partition 0 and not 3",
    "reader was given offset 4 of partition 0 and not 3",
  ]);
});

test("a record that is stored twice, or out of order, is a fault", () => {
  const history = historyOf(2);
  history.read(READER, 0, 2, "p:1");
  history.checkOrder();
  expect(history.faults).toEqual(["p's record 1 is at offset 2 of partition 0, not 2"]);
});

test("an acknowledged record that nobody finds is a fault, also when its offset was not told", () => {
  const history = historyOf(2);
  history.acknowledged({ producer: "p", sequence: 2 }, -1, 1);
  history.checkOrder();
  expect(history.faults).toEqual(["p has 2 records, but record 2 was acknowledged"]);
});

test("an acknowledged offset that no reader reaches leaves a hole", () => {
  const history = historyOf(1);
  history.acknowledged({ producer: "p", sequence: 1 }, 2, 1);
  history.checkOrder();
  expect(history.faults).toContain("nobody was told of offset 1 of partition 0");
});

test("a record that no member of a group was given holds the group's position", () => {
  const history = historyOf(3);
  history.delivered("group", 0, 0, "p:0");
  history.delivered("group", 0, 2, "p:2");
  expect(history.positionOf("group", 0)).toBe(1);
  history.delivered("group", 0, 1, "p:1");
  history.delivered("group", 0, 1, "p:1");
  expect(history.positionOf("group", 0)).toBe(3);
  expect(history.faults).toEqual([]);
});

test("a committed offset that went back is a fault", () => {
  const history = historyOf(1);
  history.assigned("group", 0, -1);
  history.committed("group", 0, 5);
  history.assigned("group", 0, 7);
  history.assigned("group", 0, 4);
  expect(history.faults).toEqual(["group goes on at 4 in partition 0, where 5 was committed"]);
});
