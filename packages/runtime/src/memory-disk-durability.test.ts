import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DiskFile } from "./disk.ts";
import { codeOf } from "./disk-contract.ts";
import { readWholeFile, writeFileDurably } from "./durable-file.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { SeededRandom } from "./seeded-random.ts";

type Step =
  | { readonly kind: "write"; readonly position: number; readonly length: number }
  | { readonly kind: "truncate"; readonly sizeBytes: number }
  | { readonly kind: "sync" | "failingSync" | "crash" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("write"),
      position: fc.nat({ max: 10_000 }),
      length: fc.nat({ max: 9000 }),
    }),
  },
  fc.record({ kind: fc.constant("truncate"), sizeBytes: fc.nat({ max: 12_000 }) }),
  fc.record({ kind: fc.constantFrom("sync", "sync", "failingSync", "crash") }),
);

/**
 * What must be true of a file after any crash, byte by byte: a byte that was synced and not
 * touched since is as it was. A touched one may be anything, since a torn write may leave garbage.
 */
class FileModel {
  visible: number[] = [];
  certain: (number | undefined)[] = [];
  /** The file is no shorter than this. */
  certainSize = 0;

  write(position: number, length: number, value: number): void {
    if (length === 0) return;
    while (this.visible.length < position) this.visible.push(0);
    for (let index = position; index < position + length; index += 1) {
      this.visible[index] = value;
      this.certain[index] = undefined;
    }
  }

  truncate(sizeBytes: number): void {
    while (this.visible.length < sizeBytes) this.visible.push(0);
    this.visible.length = sizeBytes;
    for (let index = sizeBytes; index < this.certain.length; index += 1) this.certain[index] = undefined;
    this.certainSize = Math.min(this.certainSize, sizeBytes);
  }

  sync(): void {
    this.certain = [...this.visible];
    this.certainSize = this.visible.length;
  }

  /**
   * After a sync that failed, what was not certain before may stay uncertain for ever: it counts from now on.
   */
  rest(bytes: Uint8Array): void {
    this.visible = [...bytes];
    this.certain = [...bytes];
    this.certainSize = bytes.byteLength;
  }
}

describe("MemoryDisk", () => {
  it("never loses a byte that was synced and not touched since", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 5, maxLength: 30 }), async (seed, steps) => {
        const disk = new MemoryDisk({ random: new SeededRandom(seed) });
        await writeFileDurably(disk, "/a", new Uint8Array(0));
        let file = await disk.open("/a", "write");
        const model = new FileModel();
        for (const [index, next] of steps.entries()) {
          if (next.kind === "failingSync") await failToSync(disk, file);
          if (next.kind === "failingSync" || next.kind === "crash") {
            // As R9 has it: after a failed sync the file is reopened as after a crash.
            disk.crash();
            file = await disk.open("/a", "write");
            await checkAfterCrash(file, model);
          } else {
            await perform(file, model, next, index + 1);
          }
          const bytes = await readWholeFile(disk, "/a", 100_000);
          expect(bytes?.join()).toBe(model.visible.join());
        }
      }),
      { numRuns: 100 },
    );
  });

  it("keeps every name that was synced and not touched since, and no name that never was", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(action, { minLength: 5, maxLength: 40 }), async (seed, actions) => {
        const disk = new MemoryDisk({ random: new SeededRandom(seed) });
        const model = new DirectoryModel();
        for (const [index, next] of actions.entries()) {
          await act(disk, model, next, index);
          const found = await namesOn(disk);
          if (next.kind === "crash") {
            checkNames(found, model);
          }
          expect(found).toEqual(Object.fromEntries(model.visible));
        }
      }),
      { numRuns: 200 },
    );
  });
});

const name = fc.constantFrom("a", "b", "c", "d");
const action = fc.record({
  kind: fc.constantFrom("create", "rename", "remove", "sync", "crash"),
  from: name,
  to: name,
});

/** Which file (told by its size) is under each name of a directory, and which of them no crash may change. */
class DirectoryModel {
  visible = new Map<string, number>();
  /** No entry: anything may be there. Undefined: nothing may. */
  certain = new Map<string, number | undefined>();

  set(name: string, file: number | undefined): void {
    if (file === undefined) this.visible.delete(name);
    else this.visible.set(name, file);
    this.certain.delete(name);
  }

  sync(): void {
    for (const name of ["a", "b", "c", "d"]) this.certain.set(name, this.visible.get(name));
  }

  rest(found: Readonly<Record<string, number>>): void {
    this.visible = new Map(Object.entries(found));
    this.sync();
  }
}

async function act(
  disk: MemoryDisk,
  model: DirectoryModel,
  next: { kind: string; from: string; to: string },
  index: number,
): Promise<void> {
  const { kind, from, to } = next;
  if (kind === "create") {
    await replaceFile(disk, from, index);
    model.set(from, index);
  } else if (kind === "remove") {
    await disk.remove(`/${from}`);
    model.set(from, undefined);
  } else if (kind === "rename" && model.visible.has(from) && from !== to) {
    await disk.rename(`/${from}`, `/${to}`);
    model.set(to, model.visible.get(from));
    model.set(from, undefined);
  } else if (kind === "sync") {
    await disk.syncDirectory("/");
    model.sync();
  } else if (kind === "crash") {
    disk.crash();
  }
}

async function namesOn(disk: MemoryDisk): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const entry of await disk.list("/")) {
    found[entry.name] = (await disk.stat(`/${entry.name}`))?.sizeBytes ?? -1;
  }
  return found;
}

async function perform(file: DiskFile, model: FileModel, next: Step, value: number): Promise<void> {
  if (next.kind === "write") {
    await file.write(next.position, [new Uint8Array(next.length).fill(value)]);
    model.write(next.position, next.length, value);
  } else if (next.kind === "truncate") {
    await file.truncate(next.sizeBytes);
    model.truncate(next.sizeBytes);
  } else {
    await file.sync();
    model.sync();
  }
}

function checkNames(found: Readonly<Record<string, number>>, model: DirectoryModel): void {
  const certain = [...model.certain];
  expect(certain.map(([name]) => found[name])).toEqual(certain.map(([, file]) => file));
  expect(new Set(Object.values(found)).size).toBe(Object.values(found).length);
  model.rest(found);
}

async function failToSync(disk: MemoryDisk, file: DiskFile): Promise<void> {
  disk.faults.fail({ operation: "sync", times: 1 });
  expect(await codeOf(file.sync())).toBe("EIO");
}

async function checkAfterCrash(file: DiskFile, model: FileModel): Promise<void> {
  const bytes = await file.read(0, 100_000);
  expect(bytes.byteLength).toBeGreaterThanOrEqual(model.certainSize);
  const wrong = model.certain.findIndex(
    (certain, index) => certain !== undefined && certain !== bytes[index],
  );
  expect(wrong).toBe(-1);
  model.rest(bytes);
}

/** Puts a new file, whose size tells it from others, in the place of what is there. */
async function replaceFile(disk: MemoryDisk, name: string, sizeBytes: number): Promise<void> {
  await disk.remove(`/${name}`);
  const file = await disk.open(`/${name}`, "write");
  await file.truncate(sizeBytes);
  await file.sync();
  await file.close();
}
