import { ExportResultCode } from "@opentelemetry/core";
import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { Clock, Timer } from "./clock.ts";
import { LimitedLogger } from "./limited-logger.ts";
import type { Logger } from "./logging.ts";
import { Counter, type MetricsRegistry } from "./metrics.ts";

export interface SpanQueueOptions {
  readonly exporter: SpanExporter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** Further spans are dropped, and counted. Default 4,096: a few megabytes. */
  readonly maxSpans?: number;
  /** Default 512, as OpenTelemetry's own. */
  readonly maxBatchSpans?: number;
  /** How long a span waits for others. Default 1 s. */
  readonly lingerMs?: number;
}

/** The exporter gives a batch up after ten seconds by itself; this is for one that does not. */
const EXPORT_TIMEOUT_MS = 15_000;

/**
 * Spans on their way to the collector: one batch under way, and a bounded number that waits. A collector that
 * is slow or away costs spans, which `ottla_tracing_spans_total` counts, and nothing else.
 */
export class SpanQueue implements SpanProcessor {
  readonly #options: SpanQueueOptions;
  readonly #maxSpans: number;
  readonly #maxBatchSpans: number;
  readonly #lingerMs: number;
  readonly #spans: Counter<"outcome">;
  readonly #troubles: LimitedLogger;
  #waiting: ReadableSpan[] = [];
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(options: SpanQueueOptions) {
    this.#options = options;
    this.#maxSpans = options.maxSpans ?? 4_096;
    this.#maxBatchSpans = options.maxBatchSpans ?? 512;
    this.#lingerMs = options.lingerMs ?? 1_000;
    this.#troubles = new LimitedLogger(options);
    this.#spans = new Counter({
      name: "ottla_tracing_spans_total",
      help: "Spans by what became of them: exported, failed (the collector did not take them), dropped (too many waited)",
      labelNames: ["outcome"],
      registers: [options.metrics],
    });
    for (const outcome of ["exported", "failed", "dropped"]) this.#spans.labels(outcome).inc(0);
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#closed || this.#waiting.length >= this.#maxSpans) {
      this.#spans.labels("dropped").inc();
      this.#troubles.warn("dropped", {}, "spans are dropped: more end than the collector takes");
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= this.#maxBatchSpans) this.#send();
    else
      this.#timer ??= this.#options.clock.setTimer(this.#lingerMs, () => this.#send(), { background: true });
  }

  async forceFlush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      this.#send();
      await this.#sending;
    }
  }

  async shutdown(): Promise<void> {
    await this.forceFlush();
    this.abandon();
    await this.#options.exporter.shutdown();
  }

  /** Gives up what waits still. */
  abandon(): void {
    this.#closed = true;
    this.#timer?.cancel();
    if (this.#waiting.length > 0) this.#spans.labels("dropped").inc(this.#waiting.length);
    this.#waiting = [];
    this.#troubles.close();
  }

  #send(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#sending !== undefined || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, this.#maxBatchSpans);
    this.#sending = this.#export(batch).finally(() => {
      this.#sending = undefined;
      if (this.#waiting.length > 0 && !this.#closed) this.#send();
    });
  }

  async #export(batch: ReadableSpan[]): Promise<void> {
    const { clock, exporter } = this.#options;
    const given = Promise.withResolvers<Error | undefined>();
    const timer = clock.setTimer(
      EXPORT_TIMEOUT_MS,
      () => given.resolve(new Error("the collector did not answer")),
      { background: true },
    );
    try {
      exporter.export(batch, ({ code, error }) =>
        given.resolve(
          code === ExportResultCode.SUCCESS
            ? undefined
            : (error ?? new Error("the collector refused the spans")),
        ),
      );
    } catch (thrown) {
      given.resolve(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
    const failure = await given.promise;
    timer.cancel();
    this.#spans.labels(failure === undefined ? "exported" : "failed").inc(batch.length);
    if (failure === undefined) return;
    const reason = failure.message;
    this.#troubles.warn("failed", { spans: batch.length, reason }, "the trace collector took no spans");
  }
}
