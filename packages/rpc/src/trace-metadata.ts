import type { Span, SpanAttributes } from "@ottla/runtime";
import type { CallOptions } from "./service.ts";

/** What carries a span to the service that is called: W3C's `traceparent`. */
export function traceMetadata(span: Span | undefined): Pick<CallOptions, "metadata"> {
  return span === undefined ? {} : { metadata: { traceparent: span.traceparent } };
}

/** What OpenTelemetry's conventions say of a call: `method` is "ottla.v1.LogService/Append". */
export function rpcAttributes(method: string): SpanAttributes {
  const slash = method.lastIndexOf("/");
  return {
    "rpc.system": "grpc",
    "rpc.service": method.slice(0, slash),
    "rpc.method": method.slice(slash + 1),
    "messaging.system": "ottla",
  };
}
