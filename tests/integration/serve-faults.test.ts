import { open, readdir } from "node:fs/promises";
import {
  type DirectoryEntry,
  type Disk,
  DiskError,
  type DiskFile,
  type DiskLock,
  type DiskSpace,
  type FileStat,
  NodeDisk,
} from "@ottla/runtime";
import { expect, test } from "vitest";
import { appendTexts, batchOf, readAll, startTestNode, text } from "./serve-support.ts";

/** The real disk, with the faults that a test switches on for record files. */
class FaultyDisk implements Disk {
  readonly #disk = new NodeDisk();
  freeBytes: number | undefined;
  fault: "none" | "sync fails" | "write finds no space" = "none";

  async open(path: string, mode: "read" | "write"): Promise<DiskFile> {
    const file = await this.#disk.open(path, mode);
    if (!path.endsWith(".log") || mode === "read") return file;
    return {
      path,
      size: () => file.size(),
      read: (position, length) => file.read(position, length),
      readInto: (position, target) => file.readInto(position, target),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      close: () => file.close(),
      write: async (position, buffers) => {
        if (this.fault === "write finds no space")
          throw new DiskError("ENOSPC", path, "no space left on device");
        await file.write(position, buffers);
      },
      sync: async () => {
        if (this.fault === "sync fails") throw new DiskError("EIO", path, "input/output error");
        await file.sync();
      },
    };
  }

  async space(path: string): Promise<DiskSpace> {
    const space = await this.#disk.space(path);
    return this.freeBytes === undefined ? space : { ...space, freeBytes: this.freeBytes };
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path);
  }
  list(path: string): Promise<DirectoryEntry[]> {
    return this.#disk.list(path);
  }
  stat(path: string): Promise<FileStat | undefined> {
    return this.#disk.stat(path);
  }
  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(from, to);
  }
  remove(path: string): Promise<void> {
    return this.#disk.remove(path);
  }
  removeDirectory(path: string): Promise<void> {
    return this.#disk.removeDirectory(path);
  }
  syncDirectory(path: string): Promise<void> {
    return this.#disk.syncDirectory(path);
  }
  lock(directory: string): Promise<DiskLock> {
    return this.#disk.lock(directory);
  }
}

test("with the disk full appends fail early, reads go on, and appends resume by themselves", async () => {
  const disk = new FaultyDisk();
  const node = await startTestNode({ disk, settings: { storage: { headroomBytes: 100 * 1024 * 1024 } } });
  await node.admin.createTopic({ name: "t" });
  await appendTexts(node, "t", ["before"]);
  disk.freeBytes = 1_000;
  const codeOfAppend = (): Promise<string> =>
    appendTexts(node, "t", ["x"]).then(
      () => "stored",
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
  await expect
    .poll(codeOfAppend, { timeout: 10_000 })
    .toMatch(/^KAFKA_STORAGE_ERROR.*disk is full.*headroom/);
  expect(await codeOfAppend()).not.toContain("/tmp/");
  expect(text((await readAll(node, "t"))[0]?.value)).toBe("before");
  disk.freeBytes = undefined;
  await expect.poll(codeOfAppend, { timeout: 10_000 }).toBe("stored");
});

test("a node that starts with a full disk serves reads, and takes appends once it can", async () => {
  const disk = new FaultyDisk();
  const settings = { storage: { headroomBytes: 100 * 1024 * 1024 } };
  const before = await startTestNode({ disk, settings });
  await before.admin.createTopic({ name: "t" });
  await appendTexts(before, "t", ["before"]);
  disk.freeBytes = 1_000;
  const node = await before.restart();
  expect((await readAll(node, "t")).map(({ value }) => text(value))).toEqual(["before"]);
  await expect(appendTexts(node, "t", ["x"])).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  disk.freeBytes = undefined;
  const appended = (): Promise<bigint | undefined> =>
    appendTexts(node, "t", ["after"]).then(
      ({ results }) => results[0]?.baseOffset,
      () => undefined,
    );
  await expect.poll(appended, { timeout: 10_000 }).toBe(1n);
});

test("with a full disk no topic is created, and the answer says at once why", async () => {
  const disk = new FaultyDisk();
  const node = await startTestNode({ disk, settings: { storage: { headroomBytes: 100 * 1024 * 1024 } } });
  await node.admin.createTopic({ name: "before" });
  disk.freeBytes = 1_000;
  const full = expect.objectContaining({
    code: "KAFKA_STORAGE_ERROR",
    message: expect.stringContaining("the disk is full"),
  });
  await expect.poll(() => refusalOf(node, "before"), { timeout: 10_000 }).toContain("KAFKA_STORAGE_ERROR");
  await expect(node.admin.createTopic({ name: "t" })).rejects.toEqual(full);
  await expect(node.admin.createPartitions({ name: "before", totalPartitions: 2 })).rejects.toEqual(full);
  disk.freeBytes = undefined;
  const created = (): Promise<string> =>
    node.admin.createTopic({ name: "t" }).then(
      () => "created",
      (error: { code: string }) => error.code,
    );
  await expect.poll(created, { timeout: 10_000 }).toBe("created");
});

test("a topic that is told to keep less frees its files at once when the disk is full", async () => {
  const disk = new FaultyDisk();
  const node = await startTestNode({ disk, settings: { storage: { headroomBytes: 100 * 1024 * 1024 } } });
  await node.admin.createTopic({ name: "t", configs: { "segment.bytes": String(1024 * 1024) } });
  for (let count = 0; count < 4; count += 1) await appendTexts(node, "t", ["x".repeat(600 * 1024)]);
  const [partition = ""] = await readdir(`${node.dataDir}/topics`);
  const logs = async (): Promise<number> =>
    (await readdir(`${node.dataDir}/topics/${partition}`)).filter((name) => name.includes(".log")).length;
  expect(await logs()).toBe(4);
  disk.freeBytes = 1_000;
  await expect.poll(() => refusalOf(node, "t"), { timeout: 10_000 }).toContain("KAFKA_STORAGE_ERROR");
  await node.admin.alterTopicConfig({ name: "t", set: { "retention.bytes": "1" } });
  await expect.poll(logs, { timeout: 10_000 }).toBe(1);
});

async function refusalOf(node: Awaited<ReturnType<typeof startTestNode>>, topic: string): Promise<string> {
  return appendTexts(node, topic, ["x"]).then(
    () => "stored",
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  );
}

test("a write that finds no space fails what it held; the log goes on when there is space", async () => {
  const disk = new FaultyDisk();
  const node = await startTestNode({ disk });
  await node.admin.createTopic({ name: "t" });
  await appendTexts(node, "t", ["before"]);
  disk.fault = "write finds no space";
  await expect(appendTexts(node, "t", ["lost"])).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  disk.fault = "none";
  const appended = (): Promise<bigint | undefined> =>
    appendTexts(node, "t", ["after"]).then(
      ({ results }) => results[0]?.baseOffset,
      () => undefined,
    );
  await expect.poll(appended, { timeout: 10_000 }).toBe(1n);
  expect((await readAll(node, "t")).map(({ value }) => text(value))).toEqual(["before", "after"]);
});

test("after a failed sync the partition is opened again, and a retried batch is stored once", async () => {
  const disk = new FaultyDisk();
  const node = await startTestNode({ disk });
  await node.admin.createTopic({ name: "t" });
  const producer = { producerId: 5, producerEpoch: 0, baseSequence: 0 };
  const append = (value: string, baseSequence: number) => {
    const batch = batchOf([value], { ...producer, baseSequence });
    return node.log.append({ topic: "t", partition: 0, payload: { case: "batch", value: batch } });
  };
  await append("a", 0);
  disk.fault = "sync fails";
  const retried = append("b", 1);
  const plain = await appendTexts(node, "t", ["c"]).then(
    () => "acknowledged",
    (error: { code: string }) => error.code,
  );
  // Nobody may hear of success for what is not on disk.
  expect(plain).not.toBe("acknowledged");
  disk.fault = "none";
  expect((await retried).results[0]?.baseOffset).toBe(1n);
  const read = (await readAll(node, "t")).map(({ value }) => text(value));
  expect(read.filter((value) => value === "b")).toEqual(["b"]);
  expect(read.slice(0, 2)).toEqual(["a", "b"]);
});

test("a damaged batch fails its own reads, and those before and after it are served", async () => {
  const before = await startTestNode();
  await before.admin.createTopic({ name: "t" });
  for (const value of ["first", "second", "third"]) await appendTexts(before, "t", [value.repeat(100)]);
  await before.stop();
  const [partition = ""] = await readdir(`${before.dataDir}/topics`);
  const path = `${before.dataDir}/topics/${partition}/00000000000000000000.log`;
  const file = await open(path, "r+");
  const content = await file.readFile();
  const position = content.indexOf("secondsecond") + 20;
  await file.write(Buffer.from([(content[position] ?? 0) ^ 0xff]), 0, 1, position);
  await file.close();

  const node = await startTestNode({ dataDir: before.dataDir });
  const fetch = (offset: bigint) => node.log.fetch({ topic: "t", partition: 0, offset, maxBytes: 100 });
  expect(text((await fetch(0n)).records[0]?.value)).toBe("first".repeat(100));
  const error = await fetch(1n).then(
    () => undefined,
    (thrown: { code: string; message: string }) => thrown,
  );
  expect(error?.code).toBe("CORRUPT_MESSAGE");
  expect(error?.message).not.toContain(before.dataDir);
  expect(text((await fetch(2n)).records[0]?.value)).toBe("third".repeat(100));
  const { results } = await appendTexts(node, "t", ["fourth"]);
  expect(results[0]?.baseOffset).toBe(3n);
  // A reader hears of it too, instead of waiting for ever.
  const stream = node.log.read({
    positions: [{ topic: "t", partition: 0, start: { case: "offset", value: 1n } }],
  });
  const reasons: (string | undefined)[] = [];
  for await (const message of stream.received) reasons.push(message.error?.reason);
  expect(reasons).toEqual(["CORRUPT_MESSAGE"]);
});

test("a partition on disk that the metadata does not know is put aside, not deleted", async () => {
  const before = await startTestNode();
  await before.admin.createTopic({ name: "t" });
  await before.stop();
  const disk = new NodeDisk();
  const stray = "3f2c8a10-0000-4000-8000-000000000001-0";
  await disk.makeDirectory(`${before.dataDir}/topics/${stray}`);
  const node = await startTestNode({ dataDir: before.dataDir });
  await expect.poll(() => readdir(`${node.dataDir}/topics`)).toHaveLength(1);
  const aside = await readdir(`${node.dataDir}/set-aside`);
  expect(aside.some((name) => name.startsWith(stray))).toBe(true);
});
