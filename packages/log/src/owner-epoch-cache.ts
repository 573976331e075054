import type { OttlaError } from "@ottla/errors";
import { type BatchHeader, crc32c, decodeControlBatch } from "@ottla/records";
import { type OwnerEpochStart, OwnerEpochs } from "@ottla/replication";
import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { OWNER_EPOCH_CHECKPOINT } from "./file-names.ts";
import { LOG_FORMATS } from "./format-versions.ts";

const VERSION = LOG_FORMATS["owner-epoch-checkpoint"];
const PATTERN = new RegExp(`^(${VERSION}\\n(\\d+)\\n((?:\\d{1,16} \\d{1,16}\\n)*))crc: ([0-9a-f]{8})\\n$`);

/** Owners below the high watermark are forgotten but for the last, so there are never many. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * The owners of a single-writer log (R13) as its control batches tell, kept beside the log: an owner is
 * known for as long as the log lives, whether or not its control batch is still there.
 */
export class OwnerEpochCache {
  #epochs: OwnerEpochs;
  #changed = false;

  constructor(starts: readonly OwnerEpochStart[] = []) {
    this.#epochs = new OwnerEpochs(starts);
  }

  get starts(): readonly OwnerEpochStart[] {
    return this.#epochs.starts;
  }

  /** -1 when the log has had no owner. */
  get latest(): number {
    return this.#epochs.latest;
  }

  /** Where the newest owner's control batch is; a log start beyond it is behind that batch. */
  get latestOffset(): number | undefined {
    return this.#epochs.starts.at(-1)?.offset;
  }

  /** Why a batch of the owner is refused, or undefined. */
  refuse(ownerEpoch: number, isFence: boolean): OttlaError | undefined {
    return this.#epochs.refuse(ownerEpoch, isFence);
  }

  /** Takes a batch that came to the log at `baseOffset`: only an owner's control batch changes anything. */
  take(header: BatchHeader, batch: Uint8Array, baseOffset: number): void {
    const ownerEpoch = header.isControl ? ownerEpochOf(batch) : undefined;
    if (ownerEpoch === undefined || ownerEpoch <= this.latest) return;
    this.#epochs.begin(ownerEpoch, baseOffset);
    this.#changed = true;
  }

  /** The log ends there: owners that began at or beyond it have never been (R6). */
  truncateTo(endOffset: number): void {
    this.#update(() => this.#epochs.truncateTo(endOffset));
  }

  /** Nothing below is ever truncated, so of the owners there only the last matters. */
  forgetBefore(offset: number): void {
    this.#update(() => this.#epochs.forgetBefore(offset));
  }

  clear(): void {
    this.truncateTo(-1);
  }

  async write(disk: Disk, directory: string): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    try {
      const bytes = new TextEncoder().encode(encodeOwnerEpochs(this.starts));
      await writeFileDurably(disk, `${directory}/${OWNER_EPOCH_CHECKPOINT}`, bytes);
    } catch (error) {
      this.#changed = true;
      throw error;
    }
  }

  #update(change: () => void): void {
    const before = this.starts.length;
    change();
    this.#changed ||= this.starts.length !== before;
  }
}

/** The owner epoch of an owner's control batch; undefined for any other batch. */
export function ownerEpochOf(batch: Uint8Array): number | undefined {
  try {
    const record = decodeControlBatch(batch);
    return record.type === "owner" ? record.ownerEpoch : undefined;
  } catch {
    // A control record that nobody here can read begins no owner.
    return undefined;
  }
}

/** Undefined when there is no file: the log has had no owner. */
export async function readOwnerEpochs(
  disk: Disk,
  directory: string,
): Promise<readonly OwnerEpochStart[] | "damaged" | undefined> {
  const bytes = await readWholeFile(disk, `${directory}/${OWNER_EPOCH_CHECKPOINT}`, MAX_FILE_BYTES);
  return bytes === undefined ? undefined : parseOwnerEpochs(new TextDecoder().decode(bytes));
}

/** A version, the number of entries, `epoch offset` in each line, and a CRC. */
export function encodeOwnerEpochs(starts: readonly OwnerEpochStart[]): string {
  const lines = starts.map(({ ownerEpoch, offset }) => `${ownerEpoch} ${offset}\n`);
  const body = `${VERSION}\n${starts.length}\n${lines.join("")}`;
  return `${body}crc: ${checksum(body)}\n`;
}

export function parseOwnerEpochs(text: string): readonly OwnerEpochStart[] | "damaged" {
  const match = PATTERN.exec(text);
  if (match === null || checksum(match[1] ?? "") !== match[4]) return "damaged";
  const rows = (match[3] ?? "").split("\n").slice(0, -1);
  const starts = rows.map((row) => {
    const [ownerEpoch, offset] = row.split(" ");
    return { ownerEpoch: Number(ownerEpoch), offset: Number(offset) };
  });
  return String(starts.length) === match[2] ? starts : "damaged";
}

function checksum(text: string): string {
  return crc32c(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}
