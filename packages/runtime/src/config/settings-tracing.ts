import * as z from "zod";
import { optionalText, ratio } from "./setting-kinds.ts";

/** The settings of traces: a part of the schema in settings-schema.ts. */

export const tracing = z.strictObject({
  endpoint: optionalText({
    pattern: /^https?:\/\/[^\s/?#]+(?:\/[^\s?#]*)?$/,
    maxLength: 2_048,
    expected: "a URL that begins with http:// or https://, without a query",
    defaultDocumentation: "none: nothing is traced",
    documentation:
      "Collector of OpenTelemetry traces, such as http://otel-collector:4318: spans go to v1/traces below it, by " +
      "OTLP over HTTP. A collector that is slow or away costs spans, never requests: ottla_tracing_spans_total " +
      "counts them. OTEL_EXPORTER_OTLP_HEADERS may hold headers that it asks for.",
  }),
  sampleRatio: ratio({
    default: 0.01,
    documentation:
      "Share of requests that are traced, of those that come without a trace of their own, as all of Kafka's " +
      "clients do. A request whose caller sends a W3C traceparent is traced if the caller says so, whatever this is.",
  }),
});
