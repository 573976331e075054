import { type ErrorCode, NOT_APPENDED, OttlaError, toOttlaError } from "@ottla/errors";
import type { Error as ErrorMessage } from "@ottla/proto/ottla/v1/record";
import { DiskError } from "@ottla/runtime";

/** An error raised before anything of the batch reached the log: the router may send the batch again. */
export function refusal(code: ErrorCode, message: string, metadata: Record<string, string> = {}): OttlaError {
  return new OttlaError(code, message, { metadata: { ...metadata, [NOT_APPENDED]: "true" } });
}

/** The same error, marked as raised before anything was appended. */
export function asRefusal(error: OttlaError): OttlaError {
  if (error.metadata[NOT_APPENDED] === "true") return error;
  return new OttlaError(error.code, error.message, {
    cause: error,
    metadata: { ...error.metadata, [NOT_APPENDED]: "true" },
  });
}

/** What went wrong, as clients may hear it: that a disk failed, and that they may ask again. */
export function toStorageError(thrown: unknown): OttlaError {
  if (!(thrown instanceof DiskError)) return toOttlaError(thrown);
  return new OttlaError("KAFKA_STORAGE_ERROR", `the disk of the storage node failed: ${thrown.message}`, {
    cause: thrown,
  });
}

export type ErrorFields = Pick<ErrorMessage, "reason" | "message" | "retriable" | "metadata">;

export function errorFields(error: OttlaError): ErrorFields {
  return {
    reason: error.code,
    message: error.message,
    retriable: error.retriable,
    metadata: { ...error.metadata },
  };
}
