import { OttlaError, toOttlaError } from "@ottla/errors";

/** Why a signal aborted: its reason where that is one of our errors, else CANCELLED. */
export function abortReason(signal: AbortSignal): OttlaError {
  const error = toOttlaError(signal.reason);
  return error === signal.reason
    ? error
    : new OttlaError("CANCELLED", "the call was cancelled by its signal");
}
