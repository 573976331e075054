import { describe, expect, it } from "vitest";
import { codeOf, text } from "./disk-contract.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { SeededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

describe("faults of the memory disk", () => {
  it("fails the operations it was told to, and no others", async () => {
    const disk = new MemoryDisk();
    const fault = disk.faults.fail({ operation: "write", path: /\.log$/, skip: 1, times: 2 });
    const log = await disk.open("/a.log", "write");
    const other = await disk.open("/a.index", "write");
    const outcomes: string[] = [];
    for (let write = 0; write < 5; write += 1) {
      outcomes.push(await codeOf(log.write(0, [text("x")])));
      await other.write(0, [text("x")]);
    }
    expect(outcomes).toEqual(["none", "EIO", "EIO", "none", "none"]);
    expect(fault.struck).toBe(2);
    expect(disk.faults.counts.writesFailed).toBe(2);

    disk.faults.fail({ operation: "any" }, "EACCES");
    expect(await codeOf(disk.open("/a.log", "read"))).toBe("EACCES");
    expect(await codeOf(disk.list("/"))).toBe("EACCES");
    expect(await codeOf(log.read(0, 1))).toBe("EACCES");
    expect(await codeOf(log.truncate(0))).toBe("EACCES");
    expect(await codeOf(log.sync())).toBe("EACCES");
    expect(disk.faults.counts).toMatchObject({
      opensFailed: 1,
      readsFailed: 1,
      syncsFailed: 1,
      othersFailed: 2,
    });
    disk.faults.clear();
    expect(await log.size()).toBe(1);
  });

  it("fails by chance as often as told, the same way for the same seed", async () => {
    const run = async (seed: number) => {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      const file = await disk.open("/a", "write");
      const fault = disk.faults.fail({ operation: "read", probability: 0.3 });
      const outcomes: string[] = [];
      for (let read = 0; read < 200; read += 1) outcomes.push(await codeOf(file.read(0, 1)));
      expect(fault.struck).toBe(outcomes.filter((code) => code === "EIO").length);
      return outcomes.join();
    };
    const first = await run(1);
    expect(first.split("EIO").length - 1).toBeGreaterThan(30);
    expect(first.split("EIO").length - 1).toBeLessThan(90);
    expect(await run(1)).toBe(first);
    expect(await run(2)).not.toBe(first);
  });

  it("leaves a part of a failed write, of any length", async () => {
    const disk = new MemoryDisk();
    disk.faults.fail({ operation: "write" });
    const sizes = new Set<number>();
    for (let index = 0; index < 50; index += 1) {
      const file = await disk.open(`/${index}`, "write");
      expect(await codeOf(file.write(0, [text("abc"), text("def")]))).toBe("EIO");
      expect(await file.read(0, 9)).toEqual(text("abcdef").subarray(0, await file.size()));
      sizes.add(await file.size());
    }
    expect([...sizes].sort((left, right) => left - right)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("is full at its capacity, and has room again when files go or the capacity grows", async () => {
    const disk = new MemoryDisk({ capacityBytes: 100 });
    const file = await disk.open("/a", "write");
    await file.write(0, [new Uint8Array(60)]);
    await file.write(10, [new Uint8Array(50)]);
    const other = await disk.open("/b", "write");
    expect(await codeOf(other.write(0, [new Uint8Array(50)]))).toBe("ENOSPC");
    expect(await codeOf(other.truncate(41))).toBe("ENOSPC");
    expect(await other.size()).toBeLessThanOrEqual(40);
    expect(disk.faults.counts.diskFull).toBe(1);
    await other.truncate(0);
    expect(await disk.space("/")).toEqual({ freeBytes: 40, totalBytes: 100 });

    await disk.remove("/a");
    expect((await disk.space("/")).freeBytes).toBe(40);
    await file.close();
    expect((await disk.space("/")).freeBytes).toBe(100);
    disk.faults.capacityBytes = 1000;
    await other.write(0, [new Uint8Array(900)]);
    await disk.rename("/b", "/c");
    expect((await disk.space("/")).freeBytes).toBe(100);
    disk.crash({ unsynced: "lost" });
    expect((await disk.space("/")).freeBytes).toBe(1000);
  });

  it("hangs operations until released", async () => {
    const disk = new MemoryDisk();
    const file = await disk.open("/a", "write");
    const stall = disk.faults.stall({ operation: "sync" });
    const ended: string[] = [];
    const syncs = [file.sync(), file.sync()].map((sync) => sync.then(() => ended.push("sync")));
    await file.write(0, [text("x")]);
    expect(ended).toEqual([]);
    expect(stall.waiting).toBe(2);
    stall.release();
    await Promise.all(syncs);
    await file.sync();
    expect(stall.struck).toBe(2);
    expect(disk.faults.counts.stalled).toBe(2);

    disk.faults.stall({ operation: "read" });
    const read = file.read(0, 1);
    disk.faults.clear();
    expect(await read).toEqual(text("x"));
  });

  it("takes as long as told on its clock", async () => {
    const clock = new VirtualClock();
    const disk = new MemoryDisk({ clock });
    const file = await disk.open("/a", "write");
    disk.faults.slow({ operation: "write", times: 1 }, 100);
    disk.faults.slow({ operation: "sync" }, 5, 10);
    let written = false;
    const write = file.write(0, [text("x")]).then(() => {
      written = true;
    });
    await clock.advance(99);
    expect(written).toBe(false);
    await clock.advance(1);
    await write;
    const sync = file.sync();
    await clock.advance(10);
    await sync;
    expect(disk.faults.counts.slowed).toBe(2);
  });

  it("returns a wrong bit once, or damages the file for good", async () => {
    const disk = new MemoryDisk();
    const file = await disk.open("/a", "write");
    const whole = new Uint8Array(100);
    await file.write(0, [whole]);
    disk.faults.corruptReads({ path: /a/, times: 1 });
    expect(wrongBits(await file.read(0, 100))).toBe(1);
    expect(await file.read(0, 100)).toEqual(whole);

    await file.sync();
    const position = disk.flipBit("/a");
    expect(wrongBits(await file.read(0, 100))).toBe(1);
    expect(disk.faults.counts).toMatchObject({ readsCorrupted: 1, bitsFlipped: 1 });
    expect(position).toBeLessThan(100);
    expect(() => disk.flipBit("/none")).toThrow(/ENOENT/);
  });

  it("keeps damage at rest across a crash", async () => {
    const disk = new MemoryDisk();
    const file = await disk.open("/a", "write");
    await file.write(0, [new Uint8Array(10)]);
    await file.sync();
    await disk.syncDirectory("/");
    disk.flipBit("/a", { position: 4, bit: 1 });
    disk.crash({ unsynced: "lost" });
    const again = await disk.open("/a", "read");
    expect(await again.read(0, 10)).toEqual(Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 0, 0, 0));
  });
});

function wrongBits(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) for (let bit = 0; bit < 8; bit += 1) count += (byte >>> bit) & 1;
  return count;
}
