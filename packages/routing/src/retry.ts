import { type ErrorCode, isErrorCode, NOT_APPENDED, OttlaError } from "@ottla/errors";
import type { Error as ErrorMessage } from "@ottla/proto/ottla/v1/record";

/**
 * The view was out of date, or the leader is about to change: worth another look at the view and another try.
 */
const STALE_VIEW: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "NOT_LEADER_OR_FOLLOWER",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "LEADER_NOT_AVAILABLE",
]);

/** The connection or the node failed: the same node, or its successor, may answer soon. */
const BROKEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["NETWORK_EXCEPTION", "UNAVAILABLE"]);

/** Whether a read may be tried again inside the caller's deadline. */
export function mayRetryRead(error: OttlaError): boolean {
  return STALE_VIEW.has(error.code) || BROKEN.has(error.code);
}

/**
 * Whether an append may be tried again inside: only what is provably not in the log, or
 * what the log would recognise as a duplicate. Anything else is the client's decision,
 * because trying again could store its records twice.
 */
export function mayRetryAppend(error: OttlaError, idempotent: boolean): boolean {
  if (!STALE_VIEW.has(error.code) && !BROKEN.has(error.code)) return false;
  return idempotent || error.metadata[NOT_APPENDED] === "true";
}

/** An answer's error as the exception that the caller sees. */
export function fromErrorMessage(error: ErrorMessage): OttlaError {
  const code: ErrorCode = isErrorCode(error.reason) ? error.reason : "UNKNOWN_SERVER_ERROR";
  return new OttlaError(code, error.message, { metadata: error.metadata });
}

/** Marks an error as raised before anything was sent. */
export function notAppended(code: ErrorCode, message: string): OttlaError {
  return new OttlaError(code, message, { metadata: { [NOT_APPENDED]: "true" } });
}
