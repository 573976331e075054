import { expect, test } from "vitest";
import { parseReassignmentPlan } from "./reassignment-plan.ts";

test("a plan of Kafka's tool is read, its log directories left aside", () => {
  const partitions = [{ topic: "t", partition: 3, replicas: [2, 1], log_dirs: ["any", "any"] }];
  expect(parseReassignmentPlan("plan.json", JSON.stringify({ version: 1, partitions }))).toEqual([
    { topic: "t", partition: 3, replicas: [2, 1] },
  ]);
});

test("a plan that is wrong says where", () => {
  const cases: [string, string][] = [
    ["{", "plan.json: is not JSON"],
    ["[]", 'plan.json: lacks "partitions"'],
    ['{"partitions": []}', 'plan.json: lacks "partitions"'],
    ['{"partitions": [{}]}', "plan.json: partitions[0].topic: must be a name"],
    ['{"partitions": [{"topic": "t", "partition": -1}]}', "partitions[0].partition"],
    ['{"partitions": [{"topic": "t", "partition": 0, "replicas": ["1"]}]}', "partitions[0].replicas"],
  ];
  for (const [text, message] of cases)
    expect(() => parseReassignmentPlan("plan.json", text)).toThrow(message);
});
