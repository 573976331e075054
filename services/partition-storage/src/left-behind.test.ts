import { DataDirectory } from "@ottla/log";
import { MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { removeUnlessBack } from "./left-behind.ts";
import { metadataOf, PARTITION } from "./test-metadata.ts";

const NODE_ID = 1;

/** Whether the files of a replica that was taken away go, when its partition has these replicas by then. */
async function isRemoved(replicas: readonly number[], hasFailed: boolean): Promise<boolean> {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const { placeOn, view } = await metadataOf(clock, [2, 3]);
  const base = { root: "/data", disk, clock, random, logger: nullLogger };
  const directory = await DataDirectory.open({ ...base, nodeId: NODE_ID });
  await disk.makeDirectory(directory.partitionDirectory(PARTITION));
  await placeOn(replicas);
  const directories = {
    remove: (topicId: string, partition: number) => directory.deletePartition({ topicId, partition }),
  };
  await removeUnlessBack({ view, directories, node: { nodeId: NODE_ID } }, { ...PARTITION, hasFailed });
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
