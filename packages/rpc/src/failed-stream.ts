import type { OttlaError } from "@ottla/errors";
import type { ClientStream } from "./service.ts";

/** A stream that failed before it began, so that callers meet every failure in the same place. */
export function failedStream<Sent, Received>(error: OttlaError): ClientStream<Sent, Received> {
  return {
    send: () => false,
    drained: () => Promise.reject(error),
    end: () => undefined,
    cancel: () => undefined,
    received: {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }),
    },
  };
}
