import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Disk, DiskError, type DiskErrorCode } from "./disk.ts";
import { makeDirectoryDurably, readWholeFile, writeFileDurably } from "./durable-file.ts";

export interface DiskUnderTest {
  readonly disk: Disk;
  /** An existing, empty directory. */
  readonly root: string;
  end(): Promise<void>;
}

/** What every `Disk` does alike. Run it from the tests of an implementation. */
export function diskContract(name: string, start: () => Promise<DiskUnderTest>): void {
  describe(`${name} keeps the contract of a disk`, () => {
    let under: DiskUnderTest;
    let disk: Disk;
    let root: string;

    beforeEach(async () => {
      under = await start();
      disk = under.disk;
      root = under.root;
    });
    afterEach(() => under.end());

    const get = () => ({ disk, root });
    describeFiles(get);
    describeArguments(get);
    describeHandles(get);
    describeDirectories(get);
    describeRenames(get);
    describeWholeDisk(get);
  });
}

type Get = () => { disk: Disk; root: string };

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export async function codeOf(promise: Promise<unknown>): Promise<DiskErrorCode | "none"> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DiskError) return error.code;
    throw error;
  }
  return "none";
}

function describeFiles(get: Get): void {
  it("reads back what was written, in whatever pieces", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    await file.write(0, [text("one "), new Uint8Array(0), text("two "), text("three")]);
    await file.write(4, [text("TWO")]);
    expect(await file.size()).toBe(13);
    expect(await file.read(0, 100)).toEqual(text("one TWO three"));
    expect(await file.read(4, 3)).toEqual(text("TWO"));
    expect(await file.read(13, 5)).toEqual(new Uint8Array(0));
    expect(await file.read(0, 0)).toEqual(new Uint8Array(0));
    await file.close();
  });

  it("writes more buffers than the system takes in one call", async () => {
    const { disk, root } = get();
    const buffers = Array.from({ length: 2500 }, (_, index) => Uint8Array.of(index & 0xff, index >>> 8));
    const file = await disk.open(`${root}/a`, "write");
    await file.write(3, buffers);
    const bytes = await file.read(3, 5000);
    await file.close();
    expect(Buffer.compare(bytes, Buffer.concat(buffers))).toBe(0);
  });

  it("fills a gap before a write, and a file made longer, with zeroes", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    await file.write(2, [text("x")]);
    await file.truncate(5);
    expect(await file.read(0, 9)).toEqual(Uint8Array.of(0, 0, 120, 0, 0));
    await file.truncate(1);
    await file.truncate(3);
    expect(await file.read(0, 9)).toEqual(Uint8Array.of(0, 0, 0));
    await file.close();
  });

  it("reads into the caller's array and says how much was there", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    await file.write(0, [text("hello")]);
    const target = new Uint8Array(8).fill(9);
    expect(await file.readInto(2, target)).toBe(3);
    expect(target).toEqual(Uint8Array.of(108, 108, 111, 9, 9, 9, 9, 9));
    await file.close();
  });
}

function describeArguments(get: Get): void {
  it("gives bytes that are the caller's own", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    const written = text("mine");
    await file.write(0, [written]);
    written.fill(0);
    const read = await file.read(0, 4);
    read.fill(1);
    expect(await file.read(0, 4)).toEqual(text("mine"));
    expect(read.buffer.byteLength).toBe(4);
    await file.close();
  });

  it("refuses a position that is none, instead of taking it for another", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    for (const position of [-1, 0.5, Number.NaN, 2 ** 60]) {
      expect(await codeOf(file.write(position, [text("x")]))).toBe("EOTHER");
      expect(await codeOf(file.read(position, 1))).toBe("EOTHER");
      expect(await codeOf(file.truncate(position))).toBe("EOTHER");
    }
    expect(await file.size()).toBe(0);
    await file.close();
  });
}

function describeHandles(get: Get): void {
  it("opens to read only what is there, and does not write to it", async () => {
    const { disk, root } = get();
    expect(await codeOf(disk.open(`${root}/a`, "read"))).toBe("ENOENT");
    expect(await codeOf(disk.open(`${root}/none/a`, "write"))).toBe("ENOENT");
    await writeFileDurably(disk, `${root}/a`, text("x"));
    expect(await codeOf(disk.open(`${root}/a/b`, "write"))).toBe("EOTHER");
    expect(await codeOf(disk.open(root, "write"))).toBe("EOTHER");
    const file = await disk.open(`${root}/a`, "read");
    expect(await codeOf(file.write(0, [text("y")]))).toBe("EOTHER");
    expect(await codeOf(file.truncate(0))).toBe("EOTHER");
    await file.close();
  });

  it("keeps what is in a file that is opened to write again", async () => {
    const { disk, root } = get();
    await writeFileDurably(disk, `${root}/a`, text("kept"));
    const file = await disk.open(`${root}/a`, "write");
    expect(await file.read(0, 9)).toEqual(text("kept"));
    await file.close();
  });

  it("finishes the operations in flight before it closes, and refuses later ones", async () => {
    const { disk, root } = get();
    const file = await disk.open(`${root}/a`, "write");
    const inFlight = [file.write(0, [new Uint8Array(100_000)]), file.size(), file.sync()];
    await Promise.all([file.close(), file.close()]);
    await Promise.all(inFlight);
    expect(await codeOf(file.read(0, 1))).toBe("EOTHER");
    expect(await codeOf(file.sync())).toBe("EOTHER");
    await file.close();
  });

  it("lets a file that is removed or renamed while open be used on", async () => {
    const { disk, root } = get();
    const removed = await disk.open(`${root}/a`, "write");
    const renamed = await disk.open(`${root}/b`, "write");
    await disk.remove(`${root}/a`);
    await disk.rename(`${root}/b`, `${root}/c`);
    for (const file of [removed, renamed]) {
      await file.write(0, [text("still")]);
      await file.sync();
      expect(await file.read(0, 9)).toEqual(text("still"));
      await file.close();
    }
    expect(await readWholeFile(disk, `${root}/c`, 9)).toEqual(text("still"));
    expect((await disk.list(root)).map((entry) => entry.name)).toEqual(["c"]);
  });
}

function describeDirectories(get: Get): void {
  it("makes directories with their parents and lists what they hold, by name", async () => {
    const { disk, root } = get();
    await disk.makeDirectory(`${root}/d/e`);
    await disk.makeDirectory(`${root}/d/e`);
    await makeDirectoryDurably(disk, `${root}/d/b/c`);
    await writeFileDurably(disk, `${root}/d/a`, text("x"));
    await disk.syncDirectory(`${root}/d`);
    expect(await disk.list(`${root}/d`)).toEqual([
      { name: "a", kind: "file" },
      { name: "b", kind: "directory" },
      { name: "e", kind: "directory" },
    ]);
    expect(await codeOf(disk.list(`${root}/none`))).toBe("ENOENT");
    expect(await codeOf(disk.list(`${root}/d/a`))).toBe("EOTHER");
    expect(await codeOf(disk.syncDirectory(`${root}/none`))).toBe("ENOENT");
    expect(await codeOf(disk.makeDirectory(`${root}/d/a`))).toBe("EEXIST");
    expect(await codeOf(disk.makeDirectory(`${root}/d/a/f`))).toBe("EOTHER");
  });

  it("tells files from directories and from nothing", async () => {
    const { disk, root } = get();
    await disk.makeDirectory(`${root}/d`);
    await writeFileDurably(disk, `${root}/a`, text("five!"));
    expect(await disk.stat(`${root}/d`)).toMatchObject({ kind: "directory", sizeBytes: 0 });
    expect(await disk.stat(`${root}/a`)).toMatchObject({ kind: "file", sizeBytes: 5 });
    expect((await disk.stat(`${root}/a`))?.identity).toBe((await disk.stat(`${root}/a`))?.identity);
    expect((await disk.stat(`${root}/a`))?.identity).not.toBe((await disk.stat(`${root}/d`))?.identity);
    expect((await disk.stat(`${root}/a`))?.modifiedMs).toBeGreaterThan(1e12);
    expect(await disk.stat(`${root}/none`)).toBeUndefined();
    expect(await disk.stat(`${root}/a/below`)).toBeUndefined();
  });

  it("removes files and directories, and minds not when they are gone", async () => {
    const { disk, root } = get();
    await disk.makeDirectory(`${root}/d/e`);
    await writeFileDurably(disk, `${root}/d/e/f`, text("x"));
    await writeFileDurably(disk, `${root}/a`, text("x"));
    expect(await codeOf(disk.remove(`${root}/d`))).not.toBe("none");
    expect(await codeOf(disk.removeDirectory(`${root}/a`))).toBe("EOTHER");
    await disk.removeDirectory(`${root}/d`);
    await disk.removeDirectory(`${root}/d`);
    await disk.remove(`${root}/a`);
    await disk.remove(`${root}/a`);
    await disk.remove(`${root}/none/a`);
    expect(await disk.list(root)).toEqual([]);
  });
}

function describeRenames(get: Get): void {
  it("renames over a file, and a directory with all it holds", async () => {
    const { disk, root } = get();
    await writeFileDurably(disk, `${root}/a`, text("new"));
    await writeFileDurably(disk, `${root}/b`, text("old"));
    await disk.rename(`${root}/a`, `${root}/b`);
    await disk.rename(`${root}/b`, `${root}/b`);
    await disk.makeDirectory(`${root}/d`);
    await disk.rename(`${root}/b`, `${root}/d/b`);
    await disk.makeDirectory(`${root}/empty`);
    await disk.rename(`${root}/d`, `${root}/empty`);
    expect(await disk.list(root)).toEqual([{ name: "empty", kind: "directory" }]);
    expect(await readWholeFile(disk, `${root}/empty/b`, 10)).toEqual(text("new"));
  });

  it("refuses to rename what is not there, or over what must stay", async () => {
    const { disk, root } = get();
    await disk.makeDirectory(`${root}/d/e`);
    await disk.makeDirectory(`${root}/f`);
    await writeFileDurably(disk, `${root}/a`, text("x"));
    expect(await codeOf(disk.rename(`${root}/none`, `${root}/b`))).toBe("ENOENT");
    expect(await codeOf(disk.rename(`${root}/a`, `${root}/none/b`))).toBe("ENOENT");
    expect(await codeOf(disk.rename(`${root}/f`, `${root}/d`))).toBe("ENOTEMPTY");
    expect(await codeOf(disk.rename(`${root}/d/e`, `${root}/d`))).toBe("ENOTEMPTY");
    expect(await codeOf(disk.rename(`${root}/a`, `${root}/f`))).toBe("EOTHER");
    expect(await codeOf(disk.rename(`${root}/f`, `${root}/a`))).toBe("EOTHER");
    expect(await codeOf(disk.rename(`${root}/d`, `${root}/d/e/g`))).toBe("EOTHER");
  });
}

function describeWholeDisk(get: Get): void {
  it("says how much space there is", async () => {
    const { disk, root } = get();
    const space = await disk.space(root);
    expect(space.freeBytes).toBeGreaterThan(0);
    expect(space.totalBytes).toBeGreaterThanOrEqual(space.freeBytes);
    expect(await codeOf(disk.space(`${root}/none`))).toBe("ENOENT");
  });

  it("locks a directory for one, who is named to the next", async () => {
    const { disk, root } = get();
    const lock = await disk.lock(root);
    await expect(disk.lock(root)).rejects.toMatchObject({
      code: "DATA_DIRECTORY_LOCKED",
      message: expect.stringMatching(/is held by .*process.* since \d{4}-\d\d-\d\dT/),
    });
    await lock.release();
    await lock.release();
    const next = await disk.lock(root);
    await lock.release();
    await expect(disk.lock(root)).rejects.toMatchObject({ code: "DATA_DIRECTORY_LOCKED" });
    await next.release();
    expect(await codeOf(disk.lock(`${root}/none`))).toBe("ENOENT");
  });

  it("replaces a file whole, and refuses to read one that is too long", async () => {
    const { disk, root } = get();
    await writeFileDurably(disk, `${root}/a`, text("a longer text"));
    await writeFileDurably(disk, `${root}/a`, text("short"));
    expect(await readWholeFile(disk, `${root}/a`, 5)).toEqual(text("short"));
    await expect(readWholeFile(disk, `${root}/a`, 4)).rejects.toThrow(/5 bytes, more than the 4 allowed/);
    expect(await readWholeFile(disk, `${root}/none`, 4)).toBeUndefined();
    expect((await disk.list(root)).map((entry) => entry.name)).toEqual(["a"]);
  });
}
