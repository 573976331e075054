import { ERRORS, type ErrorCode, type ErrorFacts, GrpcStatus, type GrpcStatusCode } from "./error-codes.ts";

export interface OttlaErrorOptions {
  readonly cause?: unknown;
  /** Facts a program may act on: the field at fault, the limit, the value. Sent as `ErrorInfo.metadata`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * The one error class of the product. Thrown where the fault is noticed, mapped once at the edge.
 * The message tells a person what to do: it names the setting, the value and the limit.
 */
export class OttlaError extends Error {
  override readonly name = "OttlaError";
  readonly code: ErrorCode;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, options: OttlaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.metadata = options.metadata ?? {};
  }

  get facts(): ErrorFacts {
    return ERRORS[this.code];
  }

  /** Whether the same call may succeed later without a change by the caller. */
  get retriable(): boolean {
    return ERRORS[this.code].retriable;
  }

  get grpcStatus(): GrpcStatusCode {
    return GrpcStatus[ERRORS[this.code].grpc];
  }

  get kafkaCode(): number {
    return ERRORS[this.code].kafka;
  }
}

/**
 * Key of `metadata` by which the thrower vouches, with the value "true", that nothing of
 * a batch was appended: even a batch without a producer id may then be sent again.
 */
export const NOT_APPENDED = "not_appended";

/**
 * Turns whatever was thrown into an `OttlaError`; a foreign error becomes
 * UNKNOWN_SERVER_ERROR with its cause.
 */
export function toOttlaError(thrown: unknown): OttlaError {
  if (thrown instanceof OttlaError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return new OttlaError("CANCELLED", "the call was cancelled", { cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new OttlaError("UNKNOWN_SERVER_ERROR", message, { cause: thrown });
}

/** Shorthand for the most common refusal: a field of a request that is missing or out of bounds. */
export function invalidRequest(field: string, message: string, limit?: string | number): OttlaError {
  const metadata: Record<string, string> = { field };
  if (limit !== undefined) metadata["limit"] = String(limit);
  return new OttlaError("INVALID_REQUEST", `${field}: ${message}`, { metadata });
}
