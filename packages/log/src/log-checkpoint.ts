import { crc32c } from "@ottla/records";
import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { LOG_CHECKPOINT } from "./file-names.ts";
import { LOG_FORMATS } from "./format-versions.ts";

/** What a partition knows about itself beyond its records. Written durably, whole, under a CRC. */
export interface LogCheckpoint {
  /** Everything below this offset was synced: damage there is bit rot and is never cut away. */
  readonly recoveryPoint: number;
  /** R14: persisted before any caller is told. */
  readonly logStartOffset: number;
  readonly highWatermark: number;
  /** R12: from here on records of this replica are lost or damaged; absent when it is whole. */
  readonly damagedFrom?: number | undefined;
  /** Compaction, here or on the leader, has taken batches: gaps between offsets are no damage. */
  readonly hasGaps?: boolean | undefined;
}

const VERSION = LOG_FORMATS["log-checkpoint"];
const MAX_BYTES = 4096;
const PATTERN = new RegExp(
  `^version: ${VERSION}\\n` +
    "recovery-point: (\\d+)\\nlog-start-offset: (\\d+)\\nhigh-watermark: (\\d+)\\n" +
    "(?:damaged-from: (\\d+)\\n)?(has-gaps: true\\n)?crc: ([0-9a-f]{8})\\n$",
);

export async function writeLogCheckpoint(disk: Disk, directory: string, value: LogCheckpoint): Promise<void> {
  const bytes = new TextEncoder().encode(encodeLogCheckpoint(value));
  await writeFileDurably(disk, `${directory}/${LOG_CHECKPOINT}`, bytes);
}

/** Undefined when the file is missing or damaged: then everything is recovered from the records. */
export async function readLogCheckpoint(
  disk: Disk,
  directory: string,
): Promise<LogCheckpoint | "damaged" | undefined> {
  const bytes = await readWholeFile(disk, `${directory}/${LOG_CHECKPOINT}`, MAX_BYTES);
  return bytes === undefined ? undefined : parseLogCheckpoint(new TextDecoder().decode(bytes));
}

export function encodeLogCheckpoint(value: LogCheckpoint): string {
  const body =
    `version: ${VERSION}\nrecovery-point: ${value.recoveryPoint}\n` +
    `log-start-offset: ${value.logStartOffset}\nhigh-watermark: ${value.highWatermark}\n` +
    (value.damagedFrom === undefined ? "" : `damaged-from: ${value.damagedFrom}\n`) +
    (value.hasGaps === true ? "has-gaps: true\n" : "");
  return `${body}crc: ${checksum(body)}\n`;
}

export function parseLogCheckpoint(text: string): LogCheckpoint | "damaged" {
  const match = PATTERN.exec(text);
  if (match === null) return "damaged";
  const body = text.slice(0, text.indexOf("crc: "));
  if (checksum(body) !== match[6]) return "damaged";
  return {
    recoveryPoint: Number(match[1]),
    logStartOffset: Number(match[2]),
    highWatermark: Number(match[3]),
    ...(match[4] !== undefined && { damagedFrom: Number(match[4]) }),
    ...(match[5] !== undefined && { hasGaps: true }),
  };
}

function checksum(text: string): string {
  return crc32c(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}
