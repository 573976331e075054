import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** How long each sync takes while it is on. */
const SYNC_MS = 700;

/** Makes the syncs of a process slow on demand, by a library that is put before the C library. */
export class SlowSync {
  readonly #library: string;
  readonly #directory: string;

  private constructor(library: string, directory: string) {
    this.#library = library;
    this.#directory = directory;
  }

  /** Undefined where there is no C compiler. */
  static async compile(directory: string): Promise<SlowSync | undefined> {
    const library = join(directory, "slow-sync.so");
    const source = join(import.meta.dirname, "slow-sync.c");
    try {
      await run("gcc", ["-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
      return new SlowSync(library, directory);
    } catch {
      return undefined;
    }
  }

  environment(name: string): Record<string, string> {
    return {
      LD_PRELOAD: this.#library,
      SLOW_SYNC_SWITCH: this.#switch(name),
      SLOW_SYNC_MS: String(SYNC_MS),
    };
  }

  async on(name: string): Promise<void> {
    await writeFile(this.#switch(name), "");
  }

  async off(name: string): Promise<void> {
    await rm(this.#switch(name), { force: true });
  }

  #switch(name: string): string {
    return join(this.#directory, `${name}-is-slow`);
  }
}
