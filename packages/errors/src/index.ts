export {
  ERRORS,
  type ErrorCode,
  type ErrorFacts,
  GrpcStatus,
  type GrpcStatusCode,
  type GrpcStatusName,
  isErrorCode,
} from "./error-codes.ts";
export {
  invalidRequest,
  NOT_APPENDED,
  OttlaError,
  type OttlaErrorOptions,
  toOttlaError,
} from "./ottla-error.ts";
