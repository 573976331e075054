import type { Clock } from "./clock.ts";
import type { Logger } from "./logging.ts";
import type { MetricsRegistry } from "./metrics.ts";

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span that is recorded. What is not recorded is no span at all: code that traces asks with `?.`. */
export interface Span {
  /** The span's own W3C `traceparent`, for whoever goes on with the work. */
  readonly traceparent: string;
  /** A part of this span's work, within the process. */
  child(name: string, attributes?: SpanAttributes): Span;
  set(attributes: SpanAttributes): void;
  /** Ends the span; with the error's code where the work failed. Later calls do nothing. */
  end(errorCode?: string): void;
}

export interface Tracer {
  /**
   * Begins a span of what somebody asks of this node. `traceparent` is what the caller sent: its trace goes
   * on if the caller records it. Without one that is valid, the share of requests that are sampled decides.
   * Undefined when nothing is recorded.
   */
  serve(name: string, traceparent: string | undefined, attributes: SpanAttributes): Span | undefined;
}

/** What a process's tracer has beside what its parts see. */
export interface RunningTracer extends Tracer {
  /** Sends what waits, for at most `timeoutMs`, and stops. */
  close(timeoutMs: number): Promise<void>;
}

export interface TracingOptions {
  /** Base URL of an OTLP/HTTP collector; spans go to `v1/traces` below it. */
  readonly endpoint: string;
  /** The share of requests without a trace of their own that are recorded, 0 to 1. */
  readonly sampleRatio: number;
  readonly serviceName: string;
  /** Tells this process from others of its service. */
  readonly instanceId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
}

/** OpenTelemetry's libraries take memory and time to load: only where traces are wanted. */
export async function startTracing(options: TracingOptions): Promise<RunningTracer> {
  const { OtlpTracer } = await import("./otlp-tracer.ts");
  return new OtlpTracer(options);
}

/** The parts of a W3C trace context header, version 00. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** A later version may add fields at the end, which are passed over. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);

/** Undefined for what is no valid `traceparent`: the standard says to begin a new trace then. */
export function parseTraceparent(value: string | undefined): TraceParent | undefined {
  const [, version, traceId, spanId, flags, rest] = TRACEPARENT.exec(value ?? "") ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) {
    return undefined;
  }
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}
