import { type ErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import type { Error as ErrorMessage } from "@ottla/proto/ottla/v1/record";

/** Their messages may quote paths, addresses and other people's exceptions: a client learns the code only. */
const INTERNAL: ReadonlyMap<ErrorCode, string> = new Map([
  ["UNKNOWN_SERVER_ERROR", "the server failed: see its log"],
  ["METADATA_UNAVAILABLE", "the cluster's metadata cannot be reached right now"],
  ["METADATA_CONFLICT", "the cluster's metadata changed meanwhile: try again"],
  ["INVALID_DATA_DIRECTORY", "the server failed: see its log"],
  ["DATA_DIRECTORY_LOCKED", "the server failed: see its log"],
  ["NETWORK_EXCEPTION", "the partition's leader did not answer: whether the call took effect is not known"],
]);

/** These name files for the operator's sake; a client sees the file's name without its directories. */
const NAMES_FILES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["KAFKA_STORAGE_ERROR", "CORRUPT_MESSAGE"]);
const DIRECTORIES = /(?:\/[^\s/:,;()"']+)+\/(?=[^\s/:,;()"']+)/g;

/** An exception that is none of ours: a fault of the server that somebody must look at. */
export function isForeignError(thrown: unknown): boolean {
  return !(thrown instanceof OttlaError) && toOttlaError(thrown).code === "UNKNOWN_SERVER_ERROR";
}

/** The error as a client may see it: never a stack, a path or a foreign exception's text. */
export function publicError(thrown: unknown): OttlaError {
  const error = toOttlaError(thrown);
  const message = INTERNAL.get(error.code);
  if (message !== undefined) return new OttlaError(error.code, message, { cause: error });
  if (!NAMES_FILES.has(error.code) || !error.message.includes("/")) return error;
  const { metadata } = error;
  return new OttlaError(error.code, error.message.replaceAll(DIRECTORIES, ""), { cause: error, metadata });
}

export type ErrorFields = Pick<ErrorMessage, "reason" | "message" | "retriable" | "metadata">;

/** For answers that carry an error for one of many items. */
export function errorFields(thrown: unknown): ErrorFields {
  const error = publicError(thrown);
  return {
    reason: error.code,
    message: error.message,
    retriable: error.retriable,
    metadata: { ...error.metadata },
  };
}
