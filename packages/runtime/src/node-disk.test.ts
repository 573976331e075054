import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { codeOf, diskContract, text } from "./disk-contract.ts";
import { NodeDisk } from "./node-disk.ts";
import { directoryProblem, toDiskError } from "./node-disk-error.ts";
import { withoutFirst } from "./node-disk-file.ts";

diskContract("NodeDisk", async () => {
  const root = await mkdtemp(`${tmpdir()}/ottla-node-disk-`);
  return { disk: new NodeDisk(), root, end: () => rm(root, { recursive: true, force: true }) };
});

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/ottla-node-disk-`);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("NodeDisk", () => {
  it("goes on after a write that took only a part, and reports what stopped it", async () => {
    // A process may be limited in the size of its files: the write at the limit is short, the next one fails.
    const program = `
      const { NodeDisk } = await import(process.argv[1]);
      const file = await new NodeDisk().open(process.argv[2] + "/limited", "write");
      const buffers = Array.from({ length: 3000 }, (_, index) => new Uint8Array(100).fill(index));
      const error = await file.write(0, buffers).catch((error) => error);
      process.stdout.write(JSON.stringify([error.code, error.cause.code, await file.size()]));
    `;
    const module = new URL("./node-disk.ts", import.meta.url).href;
    const shell = `trap "" XFSZ; ulimit -f 256; exec "$0" --input-type=module -e "$1" "$2" "$3"`;
    const child = spawn("sh", ["-c", shell, process.execPath, program, module, directory]);
    let output = "";
    child.stdout.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
    await once(child, "close");
    const [code, systemCode, sizeBytes] = JSON.parse(output) as [string, string, number];
    expect([code, systemCode]).toEqual(["EOTHER", "EFBIG"]);
    const bytes = await readFile(`${directory}/limited`);
    expect(bytes.byteLength).toBe(sizeBytes);
    // The shells differ in the unit of the limit: 512 or 1024 bytes.
    expect([131_072, 262_144]).toContain(sizeBytes);
    expect(bytes.every((byte, index) => byte === (Math.floor(index / 100) & 0xff))).toBe(true);
  });

  it("drops from the front of the buffers exactly what a short write took", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 9 })), fc.nat(), (buffers, seed) => {
        const whole = Buffer.concat(buffers);
        const count = seed % (whole.byteLength + 1);
        const rest = withoutFirst(buffers, count);
        expect(Buffer.concat(rest).equals(whole.subarray(count))).toBe(true);
        expect(rest.every((buffer) => buffer.byteLength > 0)).toBe(true);
      }),
    );
  });

  it.runIf(existsSync("/dev/full"))("tells a full disk from other faults", async () => {
    const file = await new NodeDisk().open("/dev/full", "write");
    expect(await codeOf(file.write(0, [text("x")]))).toBe("ENOSPC");
    await file.close();
  });

  it("names a directory behind a symbolic link a directory", async () => {
    const disk = new NodeDisk();
    await disk.makeDirectory(`${directory}/real`);
    await symlink(`${directory}/real`, `${directory}/link`);
    await symlink(`${directory}/nowhere`, `${directory}/broken`);
    expect(await disk.list(directory)).toEqual([
      { name: "broken", kind: "file" },
      { name: "link", kind: "directory" },
      { name: "real", kind: "directory" },
    ]);
  });

  it.runIf(existsSync("/proc/self"))(
    "fails to make a directory where none can be, at whatever depth",
    async () => {
      const disk = new NodeDisk();
      for (const path of ["/proc/ottla", "/proc/ottla/a/b"]) {
        expect(await codeOf(disk.makeDirectory(path))).toBe("ENOENT");
      }
    },
  );

  it("says what is wrong with a directory that cannot be used", () => {
    const problem = (code: string): string =>
      directoryProblem(toDiskError("/a", "lock", Object.assign(new Error(`${code}: odd`), { code })));
    expect(problem("EROFS")).toBe("it is on a read-only file system");
    expect(problem("EACCES")).toMatch(/^permission denied/);
    expect(problem("EPERM")).toMatch(/^permission denied/);
    expect(problem("ENOENT")).toBe("no directory can be made there");
    expect(problem("EIO")).toBe("cannot lock (EIO, /a)");
  });

  it("keeps the system's name of an error that it has no code for", () => {
    const error = toDiskError("/a", "read", Object.assign(new Error("EFOO: odd"), { code: "EFOO" }));
    expect(error.code).toBe("EOTHER");
    expect(error.message).toBe("cannot read: EFOO: odd (EOTHER, /a)");
    const quota = toDiskError("/a", "write", Object.assign(new Error("over quota"), { code: "EDQUOT" }));
    expect(quota.code).toBe("ENOSPC");
    expect(toDiskError("/b", "write", quota)).toBe(quota);
    expect(toDiskError("/a", "write", "odd").message).toBe("cannot write: odd (EOTHER, /a)");
  });
});
