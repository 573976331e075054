import { DataDirectory } from "@ottla/log";
import {
  ClusterView,
  MetadataKeys,
  ModelServer,
  ModelStore,
  type PartitionState,
  partitionStateCodec,
} from "@ottla/metadata";
import { MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { removeUnlessBack } from "./left-behind.ts";

const TOPIC_ID = "5f0c9b3e-8a52-4a5c-9a3e-3b1f0a9d7c11";
const NODE_ID = 1;
const STATE: PartitionState = {
  leader: 2,
  leaderNodeEpoch: 8,
  leaderEpoch: 3,
  partitionEpoch: 5,
  replicas: [2, 3],
  isr: [2, 3],
  eligibleReplicas: [],
  lastKnownLeader: -1,
  minInsyncReplicas: 1,
};

/** Whether the files of a replica that was taken away go, when its partition has these replicas by then. */
async function isRemoved(replicas: readonly number[], hasFailed: boolean): Promise<boolean> {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const store = new ModelStore({ server: new ModelServer({ clock }), clock });
  const key = new MetadataKeys("test").partition(TOPIC_ID, 0);
  const put = (value: PartitionState) =>
    store.transact({
      compare: [],
      success: [{ kind: "put", key, value: partitionStateCodec.encode(value) }],
    });
  await put(STATE);
  const view = await ClusterView.open({ store, cluster: "test", clock, logger: nullLogger });
  const directory = await DataDirectory.open({
    root: "/data",
    disk,
    clock,
    random,
    logger: nullLogger,
    nodeId: NODE_ID,
  });
  const name = { topicId: TOPIC_ID, partition: 0 };
  await disk.makeDirectory(directory.partitionDirectory(name));
  await put({ ...STATE, partitionEpoch: 6, replicas, isr: replicas });
  const directories = {
    remove: (topicId: string, partition: number) => directory.deletePartition({ topicId, partition }),
  };
  await removeUnlessBack({ view, directories, node: { nodeId: NODE_ID } }, { ...name, hasFailed });
  const left = await directory.listPartitions();
  await directory.close({ clean: false });
  return left.length === 0;
}

test("the files of a replica that was taken away stay where it is a replica again", async () => {
  expect(await isRemoved([2, 3], false)).toBe(true);
  expect(await isRemoved([NODE_ID, 2, 3], false)).toBe(false);
});

test("those of a log that has failed go in any case: what it holds may not be on disk", async () => {
  expect(await isRemoved([NODE_ID, 2, 3], true)).toBe(true);
});
