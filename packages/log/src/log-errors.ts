import { OttlaError } from "@ottla/errors";

export function outOfRange(offset: number, logStartOffset: number, logEndOffset: number): OttlaError {
  return new OttlaError(
    "OFFSET_OUT_OF_RANGE",
    `offset ${offset} is outside the log, which has offsets ${logStartOffset} to ${logEndOffset}`,
    {
      metadata: {
        offset: String(offset),
        logStartOffset: String(logStartOffset),
        logEndOffset: String(logEndOffset),
      },
    },
  );
}

export function endOffsetMismatch(expected: number, actual: number): OttlaError {
  return new OttlaError(
    "END_OFFSET_MISMATCH",
    `expected_end_offset is ${expected}, but the log ends at ${actual}`,
    { metadata: { field: "expected_end_offset", expected: String(expected), logEndOffset: String(actual) } },
  );
}

export function fencedEpoch(epoch: number, latest: number): OttlaError {
  return new OttlaError(
    "FENCED_LEADER_EPOCH",
    `leader epoch ${epoch} is older than the log's latest, ${latest}`,
    { metadata: { leaderEpoch: String(epoch), latestLeaderEpoch: String(latest) } },
  );
}

export function logClosed(directory: string): OttlaError {
  return new OttlaError("KAFKA_STORAGE_ERROR", `the log in ${directory} is closed`);
}

export function logFailed(directory: string, cause: unknown): OttlaError {
  if (cause instanceof OttlaError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OttlaError("KAFKA_STORAGE_ERROR", `the log in ${directory} failed: ${reason}`, { cause });
}

export function queueFull(limitBytes: number): OttlaError {
  return new OttlaError(
    "THROTTLING_QUOTA_EXCEEDED",
    `more than ${limitBytes} bytes wait to be written to this partition; try again later`,
    { metadata: { limit: String(limitBytes) } },
  );
}
