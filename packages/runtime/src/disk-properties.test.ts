import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Disk, DiskError } from "./disk.ts";
import { readWholeFile } from "./durable-file.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { NodeDisk } from "./node-disk.ts";

type Command =
  | { readonly kind: "write"; readonly path: string; readonly position: number; readonly lengths: number[] }
  | { readonly kind: "truncate"; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: "read"; readonly path: string; readonly position: number; readonly length: number }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly kind: PathCommand; readonly path: string };

const PATH_COMMANDS = [
  "makeDirectory",
  "list",
  "stat",
  "remove",
  "removeDirectory",
  "syncDirectory",
  "sync",
] as const;
type PathCommand = (typeof PATH_COMMANDS)[number];

const path = fc.constantFrom("/a", "/b", "/d", "/d/a", "/d/b", "/d/e", "/d/e/a", "/d/e/f", "/none/a");
const smallSize = fc.nat({ max: 9000 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("write"), path, position: smallSize, lengths: lengths() }),
  },
  fc.record({ kind: fc.constant("truncate"), path, sizeBytes: smallSize }),
  fc.record({ kind: fc.constant("read"), path, position: smallSize, length: smallSize }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename"), path, to: path }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom(...PATH_COMMANDS), path }) },
);

function lengths(): fc.Arbitrary<number[]> {
  return fc.array(fc.nat({ max: 5000 }), { maxLength: 3 });
}

let base: string;
beforeAll(async () => {
  base = await mkdtemp(`${tmpdir()}/ottla-disk-properties-`);
});
afterAll(() => rm(base, { recursive: true, force: true }));

describe("MemoryDisk and NodeDisk", () => {
  it("answer any commands alike", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async (commands) => {
        const root = `${base}/${run++}`;
        await mkdir(root);
        const memory = new MemoryDisk();
        await memory.makeDirectory(root);
        const disk = new NodeDisk();
        for (const [index, next] of commands.entries()) {
          const [expected, actual] = await Promise.all([
            answer(disk, root, next, index),
            answer(memory, root, next, index),
          ]);
          expect(actual).toEqual(expected);
        }
        expect(await everything(memory, root)).toEqual(await everything(disk, root));
      }),
      { numRuns: 150 },
    );
  });
});

/** What the disk answers, or the code of its error. */
async function answer(disk: Disk, root: string, next: Command, index: number): Promise<unknown> {
  try {
    return await perform(disk, root, next, index);
  } catch (error) {
    if (error instanceof DiskError) return error.code;
    throw error;
  }
}

async function perform(disk: Disk, root: string, next: Command, index: number): Promise<unknown> {
  const path = root + next.path;
  if (next.kind === "write") {
    return await withFile(disk, path, "write", async (file) => {
      const buffers = next.lengths.map((length) => new Uint8Array(length).fill(index + 1));
      await file.write(next.position, buffers);
      return await file.size();
    });
  }
  if (next.kind === "truncate") {
    return await withFile(disk, path, "write", (file) => file.truncate(next.sizeBytes));
  }
  if (next.kind === "read") {
    return await withFile(disk, path, "read", (file) => file.read(next.position, next.length));
  }
  if (next.kind === "sync") return await withFile(disk, path, "read", (file) => file.sync());
  if (next.kind === "rename") return await disk.rename(path, root + next.to);
  if (next.kind === "stat") {
    const stat = await disk.stat(path);
    return stat === undefined ? "nothing" : [stat.kind, stat.sizeBytes];
  }
  return await disk[next.kind](path);
}

async function withFile<T>(
  disk: Disk,
  path: string,
  mode: "read" | "write",
  use: (file: Awaited<ReturnType<Disk["open"]>>) => Promise<T>,
): Promise<T> {
  if ((await disk.stat(path))?.kind === "directory") throw new DiskError("EOTHER", path, "a directory");
  const file = await disk.open(path, mode);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** All paths below `path` with what the files hold. */
async function everything(disk: Disk, path: string): Promise<[string, unknown][]> {
  const found: [string, unknown][] = [];
  for (const entry of await disk.list(path)) {
    const child = `${path}/${entry.name}`;
    if (entry.kind === "file") found.push([child, await readWholeFile(disk, child, 1_000_000)]);
    else found.push([child, "directory"], ...(await everything(disk, child)));
  }
  return found;
}
