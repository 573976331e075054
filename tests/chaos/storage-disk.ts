import { execFile } from "node:child_process";
import { cp, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Small enough to be filled in a moment, large enough for all that a run appends. */
const SIZE_MIB = 512;

/** The disk of a storage node: a file system of its own where the user may mount one, else a directory. */
export class StorageDisk {
  readonly directory: string;
  /** Whether it can be filled without filling everyone's. */
  readonly isOwn: boolean;

  private constructor(directory: string, isOwn: boolean) {
    this.directory = directory;
    this.isOwn = isOwn;
  }

  static async make(directory: string): Promise<StorageDisk> {
    await mkdir(directory, { recursive: true });
    const options = ["-t", "tmpfs", "-o", `size=${SIZE_MIB}m`, "tmpfs", directory];
    const isOwn = await run("mount", options).then(
      () => true,
      () => false,
    );
    return new StorageDisk(directory, isOwn);
  }

  /** Leaves not a byte. */
  async fill(): Promise<void> {
    // One allocation fails as a whole when it is too large: ever smaller ones take what is left.
    for (let size = SIZE_MIB * 1024; size >= 4; size /= 2) {
      await run("fallocate", ["-l", `${size}KiB`, join(this.directory, `filler-${size}`)]).catch(
        () => undefined,
      );
    }
    await writeFile(join(this.directory, "filler-last"), Buffer.alloc(64 * 1024)).catch(() => undefined);
  }

  async empty(): Promise<void> {
    const sizes = Array.from({ length: 18 }, (_, power) => 4 * 2 ** power);
    const names = [...sizes.map(String), "last"].map((name) => join(this.directory, `filler-${name}`));
    await Promise.all(names.map((name) => rm(name, { force: true })));
  }

  /** What is to be kept is moved to the system's own disk: a mount would outlive the run. */
  async close(keepFiles: boolean): Promise<void> {
    if (!this.isOwn) return;
    const copy = `${this.directory}-copy`;
    if (keepFiles) await cp(this.directory, copy, { recursive: true });
    await run("umount", ["--lazy", this.directory]).catch(() => undefined);
    await rm(this.directory, { recursive: true, force: true });
    if (keepFiles) await rename(copy, this.directory);
  }
}
