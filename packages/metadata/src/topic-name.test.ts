import { describe, expect, it } from "vitest";
import { isInternalTopicName, topicNameCollisionKey, validateTopicName } from "./topic-name.ts";

describe("topic names", () => {
  it.each(["a", "A.b_c-9", "...", "x".repeat(249), "__consumer_offsets"])("may be %s", (name) => {
    expect(() => validateTopicName(name)).not.toThrow();
  });

  it.each([
    ["", "it is empty"],
    [".", 'cannot be "." or ".."'],
    ["..", 'cannot be "." or ".."'],
    ["x".repeat(250), "250 characters long, the limit is 249"],
    ["a b", "only letters"],
    ["a/b", "only letters"],
    ["é", "only letters"],
    ["a\n", "only letters"],
  ])("may not be %j", (name, reason) => {
    expect(() => validateTopicName(name)).toThrow(reason);
  });

  it("collide when they differ only in dots and underscores", () => {
    expect(topicNameCollisionKey("a.b_c")).toBe(topicNameCollisionKey("a_b.c"));
    expect(topicNameCollisionKey("a-b")).not.toBe(topicNameCollisionKey("a.b"));
  });

  it("tell Kafka's internal topics", () => {
    expect(isInternalTopicName("__transaction_state")).toBe(true);
    expect(isInternalTopicName("__mine")).toBe(false);
  });
});
