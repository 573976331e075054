import { OttlaError } from "@ottla/errors";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  nodeRegistrationCodec,
  type PartitionState,
  partitionStateCodec,
  type TopicState,
  topicStateCodec,
} from "./values.ts";

const partition: PartitionState = {
  leader: 1,
  leaderNodeEpoch: 42,
  leaderEpoch: 3,
  partitionEpoch: 9,
  replicas: [1, 2, 3],
  isr: [1, 3],
  eligibleReplicas: [2],
  lastKnownLeader: -1,
  minInsyncReplicas: 2,
};

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

describe("metadata values", () => {
  it("read back as they were written", () => {
    expect(partitionStateCodec.parse(partitionStateCodec.encode(partition), "k")).toEqual(partition);
  });

  it("carry fields of newer versions through a change, for rolling upgrades", () => {
    const newer = encode({ ...partition, addedLater: { x: 1 } });
    const changed = { ...partitionStateCodec.parse(newer, "k"), leader: 3 };
    const written: unknown = JSON.parse(new TextDecoder().decode(partitionStateCodec.encode(changed)));
    expect(written).toEqual({ ...partition, leader: 3, addedLater: { x: 1 } });
  });

  it("may leave out optional fields, and have them", () => {
    const topic: TopicState = {
      name: "t",
      partitionCount: 2,
      replicationFactor: 1,
      configs: { "retention.ms": "1" },
      phase: "live",
      internal: false,
      createdAtMs: 1,
      deletedAtMs: -1,
    };
    expect(topicStateCodec.parse(topicStateCodec.encode(topic), "k")).toEqual(topic);
    const growing = { ...topic, targetPartitionCount: 5 };
    expect(topicStateCodec.parse(topicStateCodec.encode(growing), "k")).toEqual(growing);
    expect(() => topicStateCodec.parse(encode({ ...topic, targetPartitionCount: "5" }), "k")).toThrow(
      /targetPartitionCount/,
    );
  });

  it.each([
    ["leader", "1"],
    ["leader", -2],
    ["leader", 1.5],
    ["leaderEpoch", -1],
    ["partitionEpoch", undefined],
    ["replicas", [1, 1]],
    ["replicas", ["1"]],
    ["isr", 5],
    ["eligibleReplicas", null],
    ["minInsyncReplicas", 0],
    ["awaitedDirectoryId", 7],
  ])("are refused when %s is %j, by key and field", (field, value) => {
    const parse = () => partitionStateCodec.parse(encode({ ...partition, [field]: value }), "/the/key");
    expect(parse).toThrow(new RegExp(`/the/key: the partition has a bad field "${field}"`));
  });

  it("are refused with a typed error whatever the bytes are", () => {
    const json = fc.json().map((text) => new TextEncoder().encode(text));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), json), (bytes) => {
        for (const codec of [partitionStateCodec, topicStateCodec, nodeRegistrationCodec]) {
          expect(() => codec.parse(bytes, "k")).toThrow(OttlaError);
        }
      }),
    );
  });
});
