import { invalidRequest, OttlaError } from "@ottla/errors";
import { ReadFormat } from "@ottla/proto/ottla/v1/log";
import { Acks, Compression } from "@ottla/proto/ottla/v1/record";

/** Bounds of public requests. What is larger is refused by name, never cut silently. */
export const LIMITS = {
  fetchMaxBytes: 32 * 1024 * 1024,
  fetchDefaultBytes: 1024 * 1024,
  fetchMaxWaitMs: 60_000,
  readMaxBytes: 8 * 1024 * 1024,
  readPositions: 1_000,
  offsetQueries: 10_000,
  describedTopics: 1_000,
  changedPartitions: 10_000,
  pageSize: 10_000,
  defaultPageSize: 1_000,
  configEntries: 200,
  configValueCharacters: 4_096,
  partitions: 10_000,
  replicationFactor: 15,
  recordsPerAppend: 200_000,
  headersPerRecord: 1_000,
} as const;

const MAX_OFFSET = BigInt(Number.MAX_SAFE_INTEGER);

export function checkInteger(field: string, value: number, minimum: number, maximum: number): number {
  if (value < minimum) throw invalidRequest(field, `${value} is below ${minimum}`, minimum);
  if (value > maximum) throw invalidRequest(field, `${value} exceeds the limit ${maximum}`, maximum);
  return value;
}

export function checkCount(field: string, count: number, maximum: number): void {
  if (count === 0) throw invalidRequest(field, "is empty", 1);
  if (count > maximum) throw invalidRequest(field, `${count} entries exceed the limit ${maximum}`, maximum);
}

/** An offset from outside: not negative and small enough for a safe integer. */
export function checkOffset(field: string, value: bigint, minimum = 0n): number {
  if (value < minimum) throw invalidRequest(field, `${value} is below ${minimum}`, String(minimum));
  if (value > MAX_OFFSET)
    throw invalidRequest(field, `${value} exceeds the limit ${MAX_OFFSET}`, String(MAX_OFFSET));
  return Number(value);
}

export function checkTimestampMs(field: string, value: bigint): number {
  if (value >= 0n && value <= MAX_OFFSET) return Number(value);
  throw new OttlaError(
    "INVALID_TIMESTAMP",
    `${field}: ${value} is not a time: milliseconds since the Unix epoch, from 0 to ${MAX_OFFSET}`,
    { metadata: { field, limit: String(MAX_OFFSET) } },
  );
}

export function checkPartition(
  field: string,
  partition: number,
  partitionCount: number,
  topic: string,
): number {
  if (partition >= 0 && partition < partitionCount) return partition;
  if (partition < 0) throw invalidRequest(field, `${partition} is below 0`, 0);
  throw new OttlaError(
    "UNKNOWN_TOPIC_OR_PARTITION",
    `${field}: topic ${topic} has no partition ${partition}; it has ${partitionCount}`,
    { metadata: { field, limit: String(partitionCount - 1) } },
  );
}

export function checkAcks(acks: Acks): Acks {
  if (acks >= Acks.UNSPECIFIED && acks <= Acks.NONE) return acks === Acks.UNSPECIFIED ? Acks.ALL : acks;
  throw new OttlaError("INVALID_REQUIRED_ACKS", `acks: ${acks} is none of ACKS_ALL, ACKS_LEADER, ACKS_NONE`, {
    metadata: { field: "acks", limit: String(Acks.NONE) },
  });
}

export function checkCompression(compression: Compression): Compression {
  if (compression >= Compression.UNSPECIFIED && compression <= Compression.ZSTD) return compression;
  throw new OttlaError(
    "UNSUPPORTED_COMPRESSION_TYPE",
    `records.compression: ${compression} is not a compression that is served`,
    { metadata: { field: "records.compression", limit: String(Compression.ZSTD) } },
  );
}

export function checkReadFormat(format: ReadFormat): "records" | "batches" {
  switch (format) {
    case ReadFormat.UNSPECIFIED:
    case ReadFormat.RECORDS:
      return "records";
    case ReadFormat.BATCHES:
      return "batches";
    default:
      throw invalidRequest("format", `${String(format)} is not a format that is served`, ReadFormat.BATCHES);
  }
}

/** Names and values of topic settings before anyone looks them up. */
export function checkConfigs(field: string, configs: Readonly<Record<string, string>>): void {
  const entries = Object.entries(configs);
  if (entries.length > LIMITS.configEntries) {
    throw invalidRequest(
      field,
      `${entries.length} settings exceed the limit ${LIMITS.configEntries}`,
      LIMITS.configEntries,
    );
  }
  const limit = LIMITS.configValueCharacters;
  for (const [name, value] of entries) {
    if (name.length <= limit && value.length <= limit) continue;
    throw invalidRequest(`${field}[${name.slice(0, 100)}]`, `is longer than ${limit} characters`, limit);
  }
}
