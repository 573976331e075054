import { MemoryDisk, nullLogger, readWholeFile, SeededRandom, VirtualClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { DataDirectory, type DataDirectoryOptions } from "./data-directory.ts";
import { parsePartitionDirectoryName, partitionDirectoryName } from "./partition-directory.ts";

const MEBIBYTE = 1024 * 1024;

type Name = { readonly topicId: string; readonly partition: number };

function fixture(capacityBytes = 1000 * MEBIBYTE) {
  const clock = new VirtualClock();
  const disk = new MemoryDisk({ clock, capacityBytes });
  const random = new SeededRandom(5);
  const base = { root: "/data", disk, clock, random, logger: nullLogger, nodeId: 1 };
  const open = (options: Partial<DataDirectoryOptions> = {}) => DataDirectory.open({ ...base, ...options });
  return { clock, disk, open };
}

async function put(disk: MemoryDisk, path: string, sizeBytes: number): Promise<void> {
  const file = await disk.open(path, "write");
  await file.write(0, [new Uint8Array(sizeBytes)]);
  await file.close();
}

async function readText(disk: MemoryDisk, path: string): Promise<string> {
  return new TextDecoder().decode(await readWholeFile(disk, path, MEBIBYTE));
}

test("a directory belongs to one node of one cluster and keeps its id", async () => {
  const { open } = fixture();
  const first = await open({ clusterId: "cluster-a" });
  const { directoryId } = first;
  await first.close({ clean: false });
  await expect(open({ clusterId: "cluster-b" })).rejects.toThrow("belongs to cluster cluster-a");
  await expect(open({ nodeId: 2 })).rejects.toThrow("belongs to node 1");
  const again = await open();
  expect([again.clusterId, again.directoryId]).toEqual(["cluster-a", directoryId]);
});

test("a second process is refused until the first lets go", async () => {
  const { open } = fixture();
  const first = await open();
  await expect(open()).rejects.toMatchObject({ code: "DATA_DIRECTORY_LOCKED" });
  await first.close({ clean: false });
  await (await open()).close({ clean: false });
});

test("the clean-shutdown mark carries the node epoch, once (R9)", async () => {
  const { open, disk } = fixture();
  const first = await open();
  expect(first.cleanShutdown).toBeUndefined();
  await first.close({ clean: true, nodeEpoch: 42 });
  const second = await open();
  expect(second.cleanShutdown).toEqual({ nodeEpoch: 42 });
  disk.crash({ unsynced: "lost" });
  expect((await open()).cleanShutdown).toBeUndefined();
});

test("a directory that is marked with a feature level is refused below it, untouched", async () => {
  const { open, disk } = fixture();
  const first = await open();
  expect(first.featureLevel).toBe(1);
  await first.markFeatureLevel(1);
  expect(await readText(disk, "/data/meta.properties")).toContain("version=1\n");
  await Promise.all([first.markFeatureLevel(3), first.markFeatureLevel(2)]);
  disk.crash({ unsynced: "lost" });
  const second = await open({ maxFeatureLevel: 3 });
  expect([second.featureLevel, second.directoryId]).toEqual([3, first.directoryId]);
  await second.close({ clean: true, nodeEpoch: 7 });
  await expect(open({ maxFeatureLevel: 2 })).rejects.toThrow("written at feature level 3");
  expect((await open({ maxFeatureLevel: 3 })).cleanShutdown).toEqual({ nodeEpoch: 7 });
});

test("partitions without meta.properties, or of another format, are not touched", async () => {
  const { open, disk } = fixture();
  await (await open()).close({ clean: false });
  await disk.makeDirectory("/data/topics/abc-0");
  await disk.remove("/data/meta.properties");
  await expect(open()).rejects.toMatchObject({ code: "INVALID_DATA_DIRECTORY" });
  await put(disk, "/data/meta.properties", 0);
  await expect(open()).rejects.toThrow("format version");
});

test("partitions are listed; what is none is set aside, and nothing of it is deleted", async () => {
  const { open, disk } = fixture();
  const directory = await open();
  const name = { topicId: "6cf1-ab", partition: 3 };
  await disk.makeDirectory(directory.partitionDirectory(name));
  await disk.makeDirectory("/data/topics/what");
  await put(disk, "/data/topics/what/is-this", 3);
  await disk.makeDirectory("/data/topics/abc-1.x.deleted");
  await directory.close({ clean: false });
  const again = await open();
  expect(await again.listPartitions()).toEqual([{ ...name, directory: "/data/topics/6cf1-ab-3" }]);
  const aside = await disk.list("/data/set-aside");
  expect(aside).toHaveLength(1);
  expect(await disk.list(`/data/set-aside/${aside[0]?.name}`)).toHaveLength(1);
  expect(await again.setAside(name)).toContain("/data/set-aside/6cf1-ab-3");
  expect(await again.listPartitions()).toEqual([]);
});

test("a deleted partition is gone after a crash, too", async () => {
  const { open, disk } = fixture();
  const directory = await open();
  const name = { topicId: "abc", partition: 0 };
  await disk.makeDirectory(directory.partitionDirectory(name));
  await disk.syncDirectory("/data/topics");
  await directory.deletePartition(name);
  await directory.deletePartition(name);
  disk.crash({ unsynced: "lost" });
  expect(await (await open()).listPartitions()).toEqual([]);
});

test("names of partition directories", () => {
  for (const topicId of ["abc", "a-b-1", "0b9f5d1c-64d3-4fd8-9d4b-9f3a0c3f6a11"]) {
    const name = { topicId, partition: 12 };
    expect(parsePartitionDirectoryName(partitionDirectoryName(name))).toEqual(name);
  }
  for (const name of ["abc", "abc-", "abc-01", "abc-9999999999", "a.b-1", "-1"]) {
    expect(parsePartitionDirectoryName(name)).toBeUndefined();
  }
});

test("appends stop before the disk is full and resume by themselves when space returns", async () => {
  const { open, disk, clock } = fixture(100 * MEBIBYTE);
  const { spaceGuard } = await open({ headroomBytes: 40 * MEBIBYTE });
  expect(spaceGuard.refusal()).toBeUndefined();
  await put(disk, "/data/ballast", 65 * MEBIBYTE);
  await clock.advance(1000);
  expect(spaceGuard.refusal()).toMatchObject({
    code: "KAFKA_STORAGE_ERROR",
    metadata: { reason: "disk full", headroomBytes: String(40 * MEBIBYTE) },
  });
  await disk.remove("/data/ballast");
  await clock.advance(1000);
  expect(spaceGuard.refusal()).toBeUndefined();
});

test("without a setting the headroom is 512 MiB, but no more than 5 % of the disk", async () => {
  const { open } = fixture(1000 * MEBIBYTE);
  expect((await open()).spaceGuard.headroomBytes).toBe(50 * MEBIBYTE);
});

describe("a directory that is lost while it is in use", () => {
  const WAYS: readonly (readonly [string, (disk: MemoryDisk) => Promise<void>])[] = [
    ["removed", (disk) => disk.removeDirectory("/data")],
    ["moved", (disk) => disk.rename("/data", "/elsewhere")],
    ["emptied of what says which it is", (disk) => disk.remove("/data/meta.properties")],
    [
      "replaced by a copy",
      async (disk) => {
        await disk.rename("/data", "/elsewhere");
        await disk.makeDirectory("/data");
        await disk.rename("/elsewhere/meta.properties", "/data/meta.properties");
      },
    ],
    ["overwritten", (disk) => put(disk, "/data/meta.properties", 10)],
  ];

  test.each(WAYS)("when it is %s: appends are refused, nothing is made or marked in it", async (_, lose) => {
    const { open, disk, clock } = fixture();
    const directory = await open();
    const errors: string[] = [];
    await directory.watch(({ message }) => errors.push(message));
    await clock.advance(5_000);
    expect([errors, directory.refusal()]).toEqual([[], undefined]);
    await lose(disk);
    const before = await disk.stat("/data/topics");
    await clock.advance(5_000);
    expect(errors).toEqual([expect.stringContaining("the data directory /data is lost while the node runs")]);
    expect(directory.refusal()).toBe(directory.lost);
    expect(directory.lost).toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    await directory.close({ clean: true, nodeEpoch: 3 });
    expect(await disk.stat("/data/topics")).toEqual(before);
    expect(await disk.stat("/data/clean-shutdown")).toBeUndefined();
  });

  test("a disk that fails now and then is no reason", async () => {
    const { open, disk, clock } = fixture();
    const directory = await open();
    await directory.watch(() => undefined);
    disk.faults.fail({ operation: "stat" });
    await clock.advance(5_000);
    expect(directory.lost).toBeUndefined();
  });
});

test("it knows after a crash which partitions were opened in it and not removed since (R9)", async () => {
  const { open, disk } = fixture();
  const names = [0, 1, 2, 3].map((partition) => ({ topicId: "a", partition }));
  const [kept, removed, putAside, never] = names as [Name, Name, Name, Name];
  const first = await open();
  for (const name of [kept, removed, putAside]) await disk.makeDirectory(first.partitionDirectory(name));
  await Promise.all([kept, removed, putAside].map((name) => first.noteOpened(name)));
  await first.deletePartition(removed);
  await first.setAside(putAside);
  disk.crash({ unsynced: "lost" });
  const second = await open();
  expect(names.map((name) => second.wasOpened(name))).toEqual([true, false, false, false]);
  await second.noteOpened(never);
  await second.close({ clean: false });
  await put(disk, "/data/opened-partitions", 5);
  const third = await open();
  expect(names.some((name) => third.wasOpened(name))).toBe(false);
});
