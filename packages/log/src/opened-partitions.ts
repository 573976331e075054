import { crc32c } from "@ottla/records";
import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import type { LogLogger } from "./log-logger.ts";
import { parsePartitionDirectoryName } from "./partition-directory.ts";

export interface OpenedPartitionsOptions {
  readonly disk: Disk;
  readonly path: string;
  readonly logger: LogLogger;
}

const MAX_BYTES = 64 * 1024 * 1024;
/** Programs that do not know the file go by without it, so no feature level stands for its version. */
const HEAD = "version: 1\n";

/**
 * The partitions whose logs were opened in a data directory and not removed since, beside them on disk: one
 * that is missing at a start is told by it from a new one, and does not count as an empty log that never
 * had anything (R9). A name too many is harmless, since a replica without records is in sync only where its
 * log was opened.
 */
export class OpenedPartitions {
  readonly #options: OpenedPartitionsOptions;
  readonly #names: Set<string>;
  /** Begins when the write under way has ended: all that came meanwhile shares it. */
  #next: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: OpenedPartitionsOptions, names: Set<string>) {
    this.#options = options;
    this.#names = names;
  }

  /** A damaged file is begun anew: what is there is noted again as it is opened. */
  static async open(options: OpenedPartitionsOptions): Promise<OpenedPartitions> {
    const { disk, path, logger } = options;
    const bytes = await readWholeFile(disk, path, MAX_BYTES);
    const names = bytes === undefined ? [] : parse(new TextDecoder().decode(bytes));
    if (names === "damaged") {
      logger.warn({ path }, "the list of opened partitions is damaged and is made anew");
      return new OpenedPartitions(options, new Set());
    }
    return new OpenedPartitions(options, new Set(names));
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Resolves when the name is on disk. */
  async add(name: string): Promise<void> {
    this.#names.add(name);
    try {
      await this.#write();
    } catch (error) {
      this.#names.delete(name);
      throw error;
    }
  }

  /** Resolves when the name is off the disk; after an error the next write takes it off. */
  async remove(name: string): Promise<void> {
    if (this.#names.delete(name)) await this.#write();
  }

  #write(): Promise<void> {
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      const written = this.#writeOnce();
      this.#writing = written.catch(() => undefined);
      return written;
    });
    return this.#next;
  }

  #writeOnce(): Promise<void> {
    const body = HEAD + [...this.#names].map((name) => `${name}\n`).join("");
    const bytes = new TextEncoder().encode(`${body}crc: ${checksum(body)}\n`);
    return writeFileDurably(this.#options.disk, this.#options.path, bytes);
  }
}

function parse(text: string): readonly string[] | "damaged" {
  const end = text.lastIndexOf("crc: ");
  const body = text.slice(0, Math.max(end, 0));
  if (!body.startsWith(HEAD) || text.slice(end) !== `crc: ${checksum(body)}\n`) return "damaged";
  return body
    .slice(HEAD.length)
    .split("\n")
    .filter((name) => parsePartitionDirectoryName(name) !== undefined);
}

function checksum(text: string): string {
  return crc32c(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}
