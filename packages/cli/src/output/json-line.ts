import { isUtf8 } from "node:buffer";
import type { ConsumedRecord } from "@ottla/client";

/**
 * One record as a line of NDJSON that `ottla produce --input ndjson` reads back. Bytes
 * that are no UTF-8 go as base64.
 */
export function jsonLine(record: ConsumedRecord): string {
  const { topic, partition, offset, timestampMs, key, value, headers } = record;
  const line: Record<string, unknown> = { topic, partition, offset: Number(offset), timestamp: timestampMs };
  putBytes(line, "key", key);
  putBytes(line, "value", value);
  if (headers.length > 0) {
    line["headers"] = headers.map((header) => {
      const entry: Record<string, unknown> = { key: header.key };
      putBytes(entry, "value", header.value);
      return entry;
    });
  }
  return `${JSON.stringify(line)}\n`;
}

function putBytes(target: Record<string, unknown>, name: string, bytes: Uint8Array | null): void {
  if (bytes === null) {
    target[name] = null;
    return;
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(bytes)) target[name] = buffer.toString("utf8");
  else target[`${name}Base64`] = buffer.toString("base64");
}
