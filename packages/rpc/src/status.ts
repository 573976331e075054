import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ErrorCode, GrpcStatus, isErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import { ErrorInfoSchema } from "@ottla/proto/google/rpc/error_details";
import { StatusSchema } from "@ottla/proto/google/rpc/status";
import type { ErrorSchema, Error as ItemError } from "@ottla/proto/ottla/v1/record";

const ERROR_DOMAIN = "ottla";
/** Status travels in HTTP/2 headers, which peers bound (often at 8 KiB): longer texts are cut. */
const MAX_MESSAGE_CHARACTERS = 1024;
const MAX_METADATA_CHARACTERS = 2048;
/** How gRPC libraries refuse a message that is over their limit: it shares a status with passing overload. */
const TOO_LARGE = /larger than max/iu;
const FOREIGN_ERROR_MESSAGE = "the server failed in a way that it does not name: see its log";

/** A gRPC status: `details` is the `grpc-status-details-bin` trailer. */
export interface WireStatus {
  readonly code: number;
  readonly message: string;
  readonly details?: Uint8Array | undefined;
}

/** A status of another protocol (gRPC's own health check) whose callers expect the bare code. */
export class BareStatus extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Whether a thrown value is a fault of our code (or of a library) and not an answer for the caller. */
export function isForeign(thrown: unknown): boolean {
  if (thrown instanceof BareStatus) return false;
  const error = toOttlaError(thrown);
  return error.code === "UNKNOWN_SERVER_ERROR" && (error !== thrown || isWrapped(error));
}

/**
 * `toOttlaError` gives a foreign error its own message: it may name paths and internals
 * that are not the caller's.
 */
function isWrapped(error: OttlaError): boolean {
  return error.cause instanceof Error && error.message === error.cause.message;
}

/**
 * What a caller may see of whatever was thrown: the same code, message and metadata, no cause and no stack.
 */
export function publicError(thrown: unknown): OttlaError {
  if (thrown instanceof BareStatus) return errorFromStatus(thrown);
  if (isForeign(thrown)) return new OttlaError("UNKNOWN_SERVER_ERROR", FOREIGN_ERROR_MESSAGE);
  const error = toOttlaError(thrown);
  return new OttlaError(error.code, cut(error.message), { metadata: cutMetadata(error.metadata) });
}

export function statusFromError(thrown: unknown): WireStatus {
  if (thrown instanceof BareStatus) return { code: thrown.code, message: thrown.message };
  const error = publicError(thrown);
  const info = create(ErrorInfoSchema, {
    reason: error.code,
    domain: ERROR_DOMAIN,
    metadata: { ...error.metadata },
  });
  const status = create(StatusSchema, {
    code: error.grpcStatus,
    message: error.message,
    details: [anyPack(ErrorInfoSchema, info)],
  });
  return { code: error.grpcStatus, message: error.message, details: toBinary(StatusSchema, status) };
}

/** The error that a status stands for; a status without our details maps to the closest code of the list. */
export function errorFromStatus(status: WireStatus): OttlaError {
  const detailed = status.details === undefined ? undefined : errorFromDetails(status.details);
  if (detailed !== undefined) return detailed;
  const tooLarge = status.code === GrpcStatus.RESOURCE_EXHAUSTED && TOO_LARGE.test(status.message);
  const code = tooLarge ? "MESSAGE_TOO_LARGE" : (CODE_BY_STATUS.get(status.code) ?? "UNKNOWN_SERVER_ERROR");
  const message = status.message === "" ? `the call failed with gRPC status ${status.code}` : status.message;
  return new OttlaError(code, message, { metadata: { grpcStatus: String(status.code) } });
}

function errorFromDetails(bytes: Uint8Array): OttlaError | undefined {
  try {
    const status = fromBinary(StatusSchema, bytes);
    for (const detail of status.details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain !== ERROR_DOMAIN || !isErrorCode(info.reason)) continue;
      return new OttlaError(info.reason, status.message, { metadata: info.metadata });
    }
  } catch {
    // Details that cannot be read are as good as none: the status itself still says what happened.
  }
  return undefined;
}

const CODE_BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [GrpcStatus.CANCELLED, "CANCELLED"],
  [GrpcStatus.INVALID_ARGUMENT, "INVALID_REQUEST"],
  [GrpcStatus.DEADLINE_EXCEEDED, "REQUEST_TIMED_OUT"],
  [GrpcStatus.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION"],
  [GrpcStatus.ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS"],
  [GrpcStatus.PERMISSION_DENIED, "CLUSTER_AUTHORIZATION_FAILED"],
  [GrpcStatus.RESOURCE_EXHAUSTED, "THROTTLING_QUOTA_EXCEEDED"],
  [GrpcStatus.FAILED_PRECONDITION, "POLICY_VIOLATION"],
  [GrpcStatus.ABORTED, "METADATA_CONFLICT"],
  [GrpcStatus.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"],
  [GrpcStatus.UNIMPLEMENTED, "UNIMPLEMENTED"],
  [GrpcStatus.UNAVAILABLE, "UNAVAILABLE"],
  [GrpcStatus.DATA_LOSS, "CORRUPT_MESSAGE"],
  [GrpcStatus.UNAUTHENTICATED, "UNAUTHENTICATED"],
]);

/** The error of one item of a call that answers for many. */
export function errorToMessage(thrown: unknown): MessageInitShape<typeof ErrorSchema> {
  const error = publicError(thrown);
  return {
    reason: error.code,
    message: error.message,
    retriable: error.retriable,
    metadata: { ...error.metadata },
  };
}

export function errorFromMessage(message: ItemError): OttlaError {
  if (isErrorCode(message.reason)) {
    return new OttlaError(message.reason, message.message, { metadata: message.metadata });
  }
  // A newer server may know codes that this client does not.
  return new OttlaError("UNKNOWN_SERVER_ERROR", `${message.reason}: ${message.message}`, {
    metadata: message.metadata,
  });
}

function cut(text: string): string {
  const wellFormed = text.toWellFormed();
  if (wellFormed.length <= MAX_MESSAGE_CHARACTERS) return wellFormed;
  return `${wellFormed.slice(0, MAX_MESSAGE_CHARACTERS - 1).toWellFormed()}…`;
}

function cutMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  let characters = 0;
  for (const [key, value] of Object.entries(metadata)) {
    characters += key.length + value.length;
    if (characters > MAX_METADATA_CHARACTERS) break;
    kept[key.toWellFormed()] = value.toWellFormed();
  }
  return kept;
}

/** The code that the metrics count for how a call ended. */
export function resultCode(thrown: unknown): ErrorCode | "OK" {
  if (thrown === undefined) return "OK";
  if (thrown instanceof BareStatus) return errorFromStatus(thrown).code;
  return toOttlaError(thrown).code;
}
