import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { PARTITION_METADATA } from "./file-names.ts";
import { LOG_FORMATS } from "./format-versions.ts";

const MAX_BYTES = 4096;

/**
 * Writes Kafka's `partition.metadata` when it is not there yet. `topicId` is a UUID or
 * Kafka's base64 form of one.
 */
export async function ensurePartitionMetadata(disk: Disk, directory: string, topicId: string): Promise<void> {
  const path = `${directory}/${PARTITION_METADATA}`;
  const text = `version: ${LOG_FORMATS["partition.metadata"]}\ntopic_id: ${kafkaUuid(topicId)}\n`;
  const bytes = await readWholeFile(disk, path, MAX_BYTES);
  if (bytes !== undefined && new TextDecoder().decode(bytes) === text) return;
  await writeFileDurably(disk, path, new TextEncoder().encode(text));
}

/** Kafka writes a topic id as 22 characters of URL-safe base64. */
export function kafkaUuid(topicId: string): string {
  const hexadecimal = topicId.replaceAll("-", "");
  if (!/^[0-9a-fA-F]{32}$/.test(hexadecimal)) return topicId;
  return Buffer.from(hexadecimal, "hex").toString("base64url");
}
