import { describe, expect, it } from "vitest";
import { MetadataKeys, type ParsedKey } from "./keys.ts";

const keys = new MetadataKeys("c1");
const topicId = "0b4a7f2e-6c55-4d0e-9f39-7f1f1c0a2b3c";

describe("MetadataKeys", () => {
  it.each<[string, ParsedKey]>([
    [keys.controller, { kind: "controller" }],
    [keys.clusterId, { kind: "cluster-id" }],
    [keys.secretProof, { kind: "secret-proof" }],
    [keys.featureLevel, { kind: "feature-level" }],
    [keys.producerIds, { kind: "producer-ids" }],
    [keys.changed, { kind: "changed" }],
    [keys.node("group-coordinator", 7), { kind: "node", role: "group-coordinator", nodeId: 7 }],
    [keys.storageNode(0), { kind: "storage-node", nodeId: 0 }],
    [keys.topicName("a.b_c-d"), { kind: "topic-name", name: "a.b_c-d" }],
    [keys.topic(topicId), { kind: "topic", topicId }],
    [keys.partition(topicId, 12), { kind: "partition", topicId, partition: 12 }],
    [keys.groupOwner(3), { kind: "group-owner", partition: 3 }],
    [keys.groupConfig("orders/€ ü"), { kind: "group-config", groupId: "orders/€ ü" }],
  ])("reads back what it wrote: %s", (key, parsed) => {
    expect(key.startsWith("/ottla/c1/")).toBe(true);
    expect(keys.parse(key)).toEqual(parsed);
  });

  it.each([
    "/ottla/c10/controller",
    "/ottla/c1/",
    "/ottla/c1/unknown",
    "/ottla/c1/unknown/1",
    "/ottla/c1/nodes/cook/1",
    "/ottla/c1/nodes/gateway/one",
    "/ottla/c1/partitions/x/01",
    "/ottla/c1/partitions/x/1/2",
    "/ottla/c1/storage/-1",
  ])("ignores %s, which a newer version or another cluster may have written", (key) => {
    expect(keys.parse(key)).toBeUndefined();
  });

  it("keeps the partitions of one topic apart from those of others", () => {
    expect(keys.partition("topic-1", 1).startsWith(keys.partitionsOf("topic-1"))).toBe(true);
    expect(keys.partition("topic-10", 1).startsWith(keys.partitionsOf("topic-1"))).toBe(false);
  });

  it.each(["", "a/b", "-a", "x".repeat(65), "ü"])("refuses the cluster name %j", (name) => {
    expect(() => new MetadataKeys(name)).toThrow(/cluster name/);
  });
});
