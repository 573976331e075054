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

/**
 * The connection or the node failed: the same node, or its successor, may answer soon. One that starts
 * listens before it serves anything: it says that it does not implement what it will in a moment.
 */
const BROKEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "NETWORK_EXCEPTION",
  "UNAVAILABLE",
  "UNIMPLEMENTED",
]);

/** The leader cannot take appends until the ISR grows or another replica leads: soon, or not for hours. */
const TOO_FEW_REPLICAS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
]);

/** The leader's copy has a fault, which another replica that takes over has not. */
const FAULTY_REPLICA: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["KAFKA_STORAGE_ERROR"]);
const FAULTY_TO_READ: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["KAFKA_STORAGE_ERROR", "CORRUPT_MESSAGE"]);

/** Whether the trouble lies between this router and the leader: the partition has nothing to say yet. */
export function isRoutingTrouble(error: OttlaError): boolean {
  return STALE_VIEW.has(error.code) || BROKEN.has(error.code) || error.code === "OFFSET_NOT_AVAILABLE";
}

/** Whether a read may be tried again inside the caller's deadline. */
export function mayRetryRead(error: OttlaError, replicaCount = 1): boolean {
  return isRoutingTrouble(error) || (replicaCount > 1 && FAULTY_TO_READ.has(error.code));
}

/**
 * For how long an append may be tried again inside: not at all, until its deadline, or for a short
 * while, because the trouble may last and the client should then hear of it. Tried again is only what is
 * provably not in the log, or what the log would recognise as a duplicate. Anything else is the
 * client's decision, because trying again could store its records twice.
 */
export function retryOfAppend(
  error: OttlaError,
  { idempotent, replicaCount }: { readonly idempotent: boolean; readonly replicaCount: number },
): "never" | "until deadline" | "for a while" {
  // Kafka's NOT_ENOUGH_REPLICAS says by itself that nothing was appended.
  const isSafe = error.metadata[NOT_APPENDED] === "true" || error.code === "NOT_ENOUGH_REPLICAS";
  if (!idempotent && !isSafe) return "never";
  if (STALE_VIEW.has(error.code) || BROKEN.has(error.code)) return "until deadline";
  if (TOO_FEW_REPLICAS.has(error.code)) return "for a while";
  return replicaCount > 1 && FAULTY_REPLICA.has(error.code) ? "for a while" : "never";
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

/** The same error for a batch that an earlier try may have stored. */
export function perhapsAppended(error: OttlaError): OttlaError {
  if (error.metadata[NOT_APPENDED] === undefined) return error;
  const { [NOT_APPENDED]: _, ...metadata } = error.metadata;
  return new OttlaError(error.code, error.message, { cause: error, metadata });
}
