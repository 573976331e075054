import { encodeBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { readAll, startTestNode, type TestNode, text } from "./serve-support.ts";

const CONFIGS = {
  "cleanup.policy": "compact",
  "segment.bytes": "1048576",
  "delete.retention.ms": "0",
  "min.cleanable.dirty.ratio": "0.01",
};

/** One batch of records, of which the last has a null value when `tombstone` names its key. */
async function append(
  node: TestNode,
  keys: readonly (string | null)[],
  value: Uint8Array | null,
): Promise<void> {
  const records = keys.map((key) => ({
    timestampMs: 1_700_000_000_000,
    key: key === null ? null : Buffer.from(key),
    value,
  }));
  await node.log.append({
    topic: "t",
    partition: 0,
    payload: { case: "batch", value: encodeBatch(records) },
  });
}

test("a compacted topic keeps the last record of each key, and takes no record without one", async () => {
  const node = await startTestNode({ settings: { storage: { compactionCheckIntervalMs: 100 } } });
  await node.admin.createTopic({ name: "t", configs: CONFIGS });
  await expect(append(node, [null], Buffer.from("x"))).rejects.toMatchObject({ code: "INVALID_RECORD" });
  await append(node, ["gone", "stays"], Buffer.from("first"));
  await append(node, ["gone"], null);
  for (let round = 0; round < 12; round += 1)
    await append(node, ["big"], new Uint8Array(300_000).fill(round));
  const keys = async (): Promise<string[]> => (await readAll(node, "t")).map(({ key }) => text(key));
  // The last segment is not compacted: it has a few of the big ones.
  const isCompacted = async (): Promise<boolean> => {
    const left = await keys();
    return left.length < 8 && !left.includes("gone");
  };
  await expect.poll(isCompacted, { timeout: 15_000 }).toBe(true);
  const records = await readAll(node, "t");
  expect(records[0]).toMatchObject({ offset: 1 });
  expect(text(records[0]?.key)).toBe("stays");
  expect(records.at(-1)).toMatchObject({ offset: 14 });
  const metrics = await (await fetch(`${node.httpUrl}/metrics`)).text();
  expect(metrics).toMatch(/ottla_partition_storage_compaction_removed_records_total [1-9]/);
  expect(metrics).toContain("ottla_partition_storage_compaction_damaged_partitions 0");
});
