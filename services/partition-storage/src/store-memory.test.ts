import type { SeenStore } from "@ottla/metadata";
import { MemoryDisk, nullLogger, SeededRandom, VirtualClock, writeFileDurably } from "@ottla/runtime";
import { beforeEach, expect, test } from "vitest";
import { StoreMemoryFile } from "./store-memory.ts";

const SEEN: SeenStore = {
  generation: 1,
  revision: 20,
  changedRevision: 10,
  writtenBy: "a-7",
  hasGoneBack: false,
};
let disk: MemoryDisk;
let clock: VirtualClock;

beforeEach(async () => {
  clock = new VirtualClock();
  disk = new MemoryDisk({ random: new SeededRandom(1) });
  await disk.makeDirectory("/data");
});

function open(): Promise<StoreMemoryFile> {
  return StoreMemoryFile.open({ disk, root: "/data", clock, logger: nullLogger });
}

test("what was seen is there after a stop, and nothing before the first time", async () => {
  const memory = await open();
  expect(memory.seen).toBeUndefined();
  memory.remember({ ...SEEN, revision: 19 });
  memory.remember(SEEN);
  await memory.close();
  expect((await open()).seen).toEqual(SEEN);
});

test("it is on disk after a while without a stop", async () => {
  const memory = await open();
  memory.remember({ ...SEEN, revision: 19 });
  memory.remember({ ...SEEN, writtenBy: undefined, hasGoneBack: true });
  const onDisk = async (): Promise<SeenStore | undefined> => {
    await clock.advance(2_000);
    return (await open()).seen;
  };
  await expect.poll(onDisk).toEqual({ ...SEEN, writtenBy: undefined, hasGoneBack: true });
});

test("a damaged file is named, with what to do", async () => {
  await writeFileDurably(disk, "/data/metadata-seen", new TextEncoder().encode("version: 1\nrevision: x\n"));
  await expect(open()).rejects.toMatchObject({
    code: "INVALID_DATA_DIRECTORY",
    message: expect.stringContaining("/data/metadata-seen is damaged") as string,
  });
});
