import type { DumpedItem } from "@ottla/log";
import { plural } from "../units.ts";

const MAX_TEXT_BYTES = 120;

/** One found thing as a line: for people, or (with the directory) as JSON. */
export function dumpLine(item: DumpedItem, jsonDirectory: string | undefined): string {
  if (jsonDirectory !== undefined)
    return `${JSON.stringify({ directory: jsonDirectory, ...item }, jsonValue)}\n`;
  switch (item.kind) {
    case "checkpoint":
      return `checkpoint ${pairs(item.checkpoint)}\n`;
    case "leader-epoch":
      return `leader epoch ${item.entry.epoch} starts at offset ${item.entry.startOffset}\n`;
    case "segment":
      return `segment ${item.file}: base offset ${item.baseOffset}, ${item.sizeBytes} bytes\n`;
    case "batch":
      return batchText(item);
    case "damage":
      return `  DAMAGED ${item.file} at ${item.position}: ${item.problem}\n`;
    case "index-entry":
    case "time-index-entry":
      return `  ${item.file}: ${pairs(item.entry)}\n`;
    case "producer":
      return `  ${item.file}: producer ${item.entry.producerId} epoch ${item.entry.producerEpoch}\n`;
    default:
      throw new Error(`unknown item ${JSON.stringify(item satisfies never)}`);
  }
}

function batchText({ position, header, records }: Extract<DumpedItem, { kind: "batch" }>): string {
  const producer =
    header.producerId < 0
      ? ""
      : ` producer ${header.producerId}/${header.producerEpoch} sequence ${header.baseSequence}..${header.lastSequence}`;
  const flags = [
    header.compression === "none" ? "" : ` ${header.compression}`,
    header.isTransactional ? " transactional" : "",
    header.isControl ? " control" : "",
  ].join("");
  const lines = [
    `  at ${position}: offsets ${header.baseOffset}..${header.lastOffset}, ` +
      `${plural(header.recordCount, "record")}, ` +
      `${header.sizeBytes} bytes, epoch ${header.partitionLeaderEpoch}, ` +
      `${header.timestampType} ${header.maxTimestamp}${producer}${flags}`,
  ];
  for (const { offset, timestampMs, key, value } of records ?? []) {
    lines.push(`    ${offset} ${timestampMs} key=${text(key)} value=${text(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function text(bytes: Uint8Array | null): string {
  if (bytes === null) return "null";
  const start = Buffer.from(bytes.subarray(0, MAX_TEXT_BYTES)).toString("utf8");
  return JSON.stringify(start) + (bytes.length > MAX_TEXT_BYTES ? `… (${bytes.length} bytes)` : "");
}

function pairs(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ");
}

function jsonValue(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}
