import { OttlaError, toOttlaError } from "@ottla/errors";
import type { SeenStore, StoreMemory } from "@ottla/metadata";
import { type Clock, type Disk, type Logger, readWholeFile, writeFileDurably } from "@ottla/runtime";

export interface StoreMemoryOptions {
  readonly disk: Disk;
  readonly root: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const FILE = "metadata-seen";
const MAX_FILE_BYTES = 4096;

/** A write syncs: more often than this is not worth it. What it may miss are the last changes of a crash. */
const WRITE_PAUSE_MS = 1_000;

const FORM = new RegExp(
  [
    "^version: 1",
    "generation: (\\d{1,16})",
    "revision: (\\d{1,16})",
    "changed: (\\d{1,16})",
    "by: ([\\w.-]{0,128})",
    "gone-back: (yes|no)",
    "$",
  ].join("\n"),
);

/**
 * How far this node has seen the metadata store come, in its data directory: it notices a restored backup
 * after a restart too.
 */
export class StoreMemoryFile implements StoreMemory {
  readonly seen: SeenStore | undefined;
  readonly #options: StoreMemoryOptions;
  readonly #closing = new AbortController();
  #wanted: SeenStore | undefined;
  #written: SeenStore | undefined;
  #writing: Promise<void> | undefined;

  private constructor(options: StoreMemoryOptions, seen: SeenStore | undefined) {
    this.#options = options;
    this.seen = seen;
    this.#written = seen;
  }

  /** Throws INVALID_DATA_DIRECTORY when the file is damaged. */
  static async open(options: StoreMemoryOptions): Promise<StoreMemoryFile> {
    const path = `${options.root}/${FILE}`;
    const bytes = await readWholeFile(options.disk, path, MAX_FILE_BYTES);
    return new StoreMemoryFile(options, bytes && parse(new TextDecoder().decode(bytes), path));
  }

  remember(seen: SeenStore): void {
    this.#wanted = seen;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** What was remembered last is on disk then, if the disk takes it. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
    await this.#writeOnce();
  }

  async #write(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted && this.#wanted !== this.#written) {
      await this.#writeOnce();
      await clock.sleep(WRITE_PAUSE_MS, signal).catch(() => undefined);
    }
  }

  async #writeOnce(): Promise<void> {
    const { disk, root, logger } = this.#options;
    const seen = this.#wanted;
    if (seen === undefined || seen === this.#written) return;
    const { generation, revision, changedRevision, writtenBy = "", hasGoneBack } = seen;
    const text =
      `version: 1\ngeneration: ${generation}\nrevision: ${revision}\nchanged: ${changedRevision}\n` +
      `by: ${writtenBy}\ngone-back: ${hasGoneBack ? "yes" : "no"}\n`;
    try {
      await writeFileDurably(disk, `${root}/${FILE}`, new TextEncoder().encode(text));
      this.#written = seen;
    } catch (thrown) {
      logger.warn(
        { err: toOttlaError(thrown), file: FILE },
        "cannot note how far the metadata store has come",
      );
    }
  }
}

function parse(text: string, path: string): SeenStore {
  const match = FORM.exec(text);
  if (match === null) {
    throw new OttlaError(
      "INVALID_DATA_DIRECTORY",
      `${path} is damaged: it says how far the metadata store had come. When no backup of the store was ` +
        "restored since, remove the file",
    );
  }
  const [, generation, revision, changedRevision, by = "", goneBack] = match;
  return {
    generation: Number(generation),
    revision: Number(revision),
    changedRevision: Number(changedRevision),
    writtenBy: by === "" ? undefined : by,
    hasGoneBack: goneBack === "yes",
  };
}
