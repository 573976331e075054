import { describe, expect, it } from "vitest";
import { codeOf, text } from "./disk-contract.ts";
import { makeDirectoryDurably, readWholeFile, writeFileDurably } from "./durable-file.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { SeededRandom } from "./seeded-random.ts";

const SEEDS = Array.from({ length: 300 }, (_, seed) => seed);

/** A disk with a durable file `/a` of `size` times "-", open to write. */
async function diskWithFile(seed: number, size: number) {
  const disk = new MemoryDisk({ random: new SeededRandom(seed) });
  await writeFileDurably(disk, "/a", text("-".repeat(size)));
  return { disk, file: await disk.open("/a", "write") };
}

async function contents(disk: MemoryDisk, path: string): Promise<string> {
  const bytes = await readWholeFile(disk, path, 1_000_000);
  return bytes === undefined ? "(none)" : new TextDecoder("latin1").decode(bytes);
}

describe("a crash of the memory disk", () => {
  it("keeps what was synced, and voids handles, locks and operations on their way", async () => {
    const { disk, file } = await diskWithFile(1, 3);
    await disk.lock("/");
    disk.faults.stall({ operation: "read" });
    disk.faults.slow({ operation: "write" }, 1000);
    const onTheirWay = [file.read(0, 1), file.write(0, [text("x")]), file.sync()].map(codeOf);
    disk.crash({ unsynced: "lost" });
    expect(await Promise.all(onTheirWay)).toEqual(["EIO", "EIO", "EIO"]);
    disk.faults.clear();
    expect(await codeOf(file.read(0, 1))).toBe("EIO");
    await file.close();
    expect(await contents(disk, "/a")).toBe("---");
    await (await disk.lock("/")).release();
  });

  it("that is the death of the process alone loses nothing", async () => {
    const { disk, file } = await diskWithFile(1, 3);
    await file.write(1, [text("xyz")]);
    await disk.makeDirectory("/d");
    await disk.rename("/a", "/d/b");
    disk.crash({ unsynced: "kept" });
    expect(await contents(disk, "/d/b")).toBe("-xyz");
    expect(await contents(disk, "/a")).toBe("(none)");
  });

  it("may lose, keep or tear a write that was not synced", async () => {
    const seen = { old: 0, new: 0, torn: 0, zeroes: 0, garbage: 0 };
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithFile(seed, 3000);
      await file.write(0, [text("x".repeat(3000))]);
      disk.crash();
      const after = await contents(disk, "/a");
      expect(after).toHaveLength(3000);
      if (/^-+$/.test(after)) seen.old += 1;
      else if (/^x+$/.test(after)) seen.new += 1;
      else if (/^x*-+$/.test(after)) seen.torn += 1;
      else if (/^x*\0+$/.test(after)) seen.zeroes += 1;
      else seen.garbage += 1;
    }
    for (const [outcome, count] of Object.entries(seen))
      expect([outcome, count > 5]).toEqual([outcome, true]);
  });

  it("may keep a later page and lose an earlier one", async () => {
    let reordered = 0;
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithFile(seed, 0);
      await file.write(0, [text("1".repeat(4096) + "2".repeat(4096) + "3".repeat(100))]);
      disk.crash();
      const after = await contents(disk, "/a");
      if (after.startsWith("\0") && after.endsWith("3")) reordered += 1;
    }
    expect(reordered).toBeGreaterThan(5);
  });

  it("loses a file whose directory was not synced, though the file was, or finds it whole", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      const file = await disk.open("/new", "write");
      await file.write(0, [text("whole")]);
      await file.sync();
      disk.crash();
      seen.add(await contents(disk, "/new"));
    }
    expect([...seen].sort()).toEqual(["(none)", "whole"]);
  });

  it("shows a rename whole or not at all, also between directories", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { disk } = await diskWithFile(seed, 3);
      await makeDirectoryDurably(disk, "/d");
      await disk.rename("/a", "/d/b");
      if (seed % 2 === 0) await disk.syncDirectory("/d");
      disk.crash();
      seen.add(`${await contents(disk, "/a")} ${await contents(disk, "/d/b")}`);
    }
    expect([...seen].sort()).toEqual(["(none) ---", "--- (none)"]);
  });

  it("leaves a file under exactly one of the names that it had", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { disk } = await diskWithFile(seed, 3);
      await disk.rename("/a", "/b");
      await disk.rename("/b", "/c");
      disk.crash();
      seen.add((await disk.list("/")).map((entry) => entry.name).join());
    }
    expect([...seen].sort()).toEqual(["a", "b", "c"]);
  });

  it("keeps a rename once both directories were synced", async () => {
    for (const seed of SEEDS) {
      const { disk } = await diskWithFile(seed, 3);
      await makeDirectoryDurably(disk, "/d");
      await disk.rename("/a", "/d/b");
      await disk.syncDirectory("/d");
      await disk.remove("/d/b");
      await writeFileDurably(disk, "/d/b", text("later"));
      await disk.syncDirectory("/");
      disk.crash();
      expect(await contents(disk, "/a")).toBe("(none)");
      expect(await contents(disk, "/d/b")).toBe("later");
    }
  });

  it("does not bring back a directory whose removal was synced", async () => {
    for (const seed of SEEDS) {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      await makeDirectoryDurably(disk, "/d/e");
      await writeFileDurably(disk, "/d/e/f", text("x"));
      await disk.removeDirectory("/d");
      await disk.syncDirectory("/");
      disk.crash();
      expect(await disk.list("/")).toEqual([]);
    }
  });

  it("keeps a directory that was made durable only after a first try had failed or died", async () => {
    for (let skip = 0; skip < 3; skip += 1) {
      const disk = new MemoryDisk({ random: new SeededRandom(skip) });
      disk.faults.fail({ operation: "syncDirectory", times: 1, skip });
      expect(await codeOf(makeDirectoryDurably(disk, "/d/e/f"))).toBe("EIO");
      await makeDirectoryDurably(disk, "/d/e/f");
      await writeFileDurably(disk, "/d/e/f/g", text("synced"));
      disk.crash({ unsynced: "lost" });
      expect(await contents(disk, "/d/e/f/g")).toBe("synced");
    }
  });

  it("does not mind a directory in one that may not be looked into", async () => {
    const disk = new MemoryDisk({ random: new SeededRandom(1) });
    await makeDirectoryDurably(disk, "/others/ours");
    disk.faults.fail({ operation: "syncDirectory" }, "EACCES");
    await makeDirectoryDurably(disk, "/others/ours");
    expect(await codeOf(makeDirectoryDurably(disk, "/others/new"))).toBe("EACCES");
  });

  it("shows either the old or the new of a file that was being replaced durably", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { disk } = await diskWithFile(seed, 3);
      const operation = (["write", "sync", "rename", "syncDirectory"] as const)[seed % 4] ?? "write";
      disk.faults.stall({ operation });
      const replacing = codeOf(writeFileDurably(disk, "/a", text("new")));
      await disk.list("/");
      for (let turn = 0; turn < 10; turn += 1) await disk.stat("/");
      disk.crash();
      expect(await replacing).toBe("EIO");
      disk.faults.clear();
      seen.add(await contents(disk, "/a"));
    }
    expect([...seen].sort()).toEqual(["---", "new"]);
  });
});

describe("a sync of the memory disk that failed", () => {
  it("leaves some pages off the platter that no later sync brings there", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithFile(seed, 2);
      await file.write(0, [text("ab")]);
      disk.faults.fail({ operation: "sync", times: 1 });
      expect(await codeOf(file.sync())).toBe("EIO");
      expect(await file.read(0, 9)).toEqual(text("ab"));
      await file.write(2, [text("c")]);
      await file.sync();
      disk.crash();
      seen.add(await contents(disk, "/a"));
    }
    expect([...seen].sort()).toEqual(["--c", "abc"]);
  });

  it("need not cover a write that is still on its way", async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { disk, file } = await diskWithFile(seed, 2);
      const write = file.write(0, [text("ab")]);
      await Promise.all([write, file.sync()]);
      disk.crash();
      seen.add(await contents(disk, "/a"));
    }
    expect(seen.has("--") && seen.has("ab")).toBe(true);
  });
});
