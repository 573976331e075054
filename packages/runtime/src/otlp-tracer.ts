import {
  type Tracer as OpenTelemetryTracer,
  type Span as RecordedSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import { VERSION } from "./build-info.ts";
import { SpanQueue } from "./span-queue.ts";
import {
  formatTraceparent,
  parseTraceparent,
  type RunningTracer,
  type Span,
  type SpanAttributes,
  type TracingOptions,
} from "./tracing.ts";

const EXPORT_TIMEOUT_MS = 10_000;

/** Records spans with OpenTelemetry's SDK and sends them over OTLP/HTTP. */
export class OtlpTracer implements RunningTracer {
  readonly #options: TracingOptions;
  readonly #queue: SpanQueue;
  readonly #provider: TracerProvider;
  readonly #tracer: OpenTelemetryTracer;

  constructor(options: TracingOptions) {
    this.#options = options;
    const url = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
    const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS, concurrencyLimit: 1 });
    this.#queue = new SpanQueue({ ...options, exporter });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        "service.name": options.serviceName,
        "service.instance.id": options.instanceId,
        "service.version": VERSION,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
      spanProcessors: [this.#queue],
    });
    this.#tracer = this.#provider.getTracer("ottla", VERSION);
  }

  serve(name: string, traceparent: string | undefined, attributes: SpanAttributes): Span | undefined {
    const parent = parseTraceparent(traceparent);
    // What will not be recorded costs nothing more than this look.
    if (parent === undefined ? this.#options.sampleRatio === 0 : !parent.isSampled) return undefined;
    const context =
      parent === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: TraceFlags.SAMPLED,
            isRemote: true,
          });
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, context);
    return span.isRecording() ? new OtlpSpan(this.#tracer, span) : undefined;
  }

  async close(timeoutMs: number): Promise<void> {
    const late = new AbortController();
    const timeout = this.#options.clock.sleep(timeoutMs, late.signal).catch(() => undefined);
    await Promise.race([this.#provider.shutdown().catch(() => undefined), timeout]);
    late.abort();
    this.#queue.abandon();
  }
}

class OtlpSpan implements Span {
  readonly traceparent: string;
  readonly #tracer: OpenTelemetryTracer;
  readonly #span: RecordedSpan;

  constructor(tracer: OpenTelemetryTracer, span: RecordedSpan) {
    this.#tracer = tracer;
    this.#span = span;
    const { traceId, spanId } = span.spanContext();
    this.traceparent = formatTraceparent({ traceId, spanId, isSampled: true });
  }

  child(name: string, attributes: SpanAttributes = {}): Span {
    const context = trace.setSpan(ROOT_CONTEXT, this.#span);
    const span = this.#tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes }, context);
    return new OtlpSpan(this.#tracer, span);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  end(errorCode?: string): void {
    // The SDK would log a second end as a mistake.
    if (!this.#span.isRecording()) return;
    if (errorCode !== undefined) {
      this.#span.setAttribute("error.type", errorCode);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}
