import type { ErrorCode } from "@ottla/errors";
import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";

/** How a call ended. */
export type ResultCode = ErrorCode | "OK";

/**
 * Rate, errors and duration of the calls of one side. Servers and transports that share a
 * registry count together.
 */
export class RpcMetrics {
  readonly #requests: Counter<"method" | "code">;
  readonly #durations: Histogram<"method">;
  readonly #openStreams: Gauge<"method">;
  readonly #methods = new Map<string, MethodMetrics>();

  /** "served" are the calls that this process answers, "made" those that it makes. */
  constructor(registry: MetricsRegistry, side: "served" | "made") {
    const prefix = side === "served" ? "ottla_rpc" : "ottla_rpc_client";
    this.#requests = known(registry, Counter, {
      name: `${prefix}_requests_total`,
      help: `Calls ${side}, by method and by the code of their end`,
      labelNames: ["method", "code"],
    });
    this.#durations = known(registry, Histogram, {
      name: `${prefix}_request_duration_seconds`,
      help: `Time from start to end of unary calls ${side}`,
      labelNames: ["method"],
      buckets: [...LATENCY_BUCKETS_SECONDS],
    });
    this.#openStreams = known(registry, Gauge, {
      name: `${prefix}_open_streams`,
      help: `Streaming calls ${side} that are open now`,
      labelNames: ["method"],
    });
  }

  method(name: string, streaming: boolean): MethodMetrics {
    let metrics = this.#methods.get(name);
    if (metrics === undefined) {
      metrics = new MethodMetrics({
        count: (code) => this.#requests.labels(name, code),
        duration: this.#durations.labels(name),
        openStreams: streaming ? this.#openStreams.labels(name) : undefined,
      });
      this.#methods.set(name, metrics);
    }
    return metrics;
  }
}

interface MethodMetricsOptions {
  readonly count: (code: ResultCode) => { inc(): void };
  readonly duration: { observe(seconds: number): void };
  readonly openStreams: { inc(): void; dec(): void } | undefined;
}

/** The metrics of one method, their labels resolved once: they are touched on every call. */
export class MethodMetrics {
  readonly #options: MethodMetricsOptions;
  readonly #byCode = new Map<ResultCode, { inc(): void }>();

  constructor(options: MethodMetricsOptions) {
    this.#options = options;
  }

  started(): void {
    this.#options.openStreams?.inc();
  }

  /** The duration counts for unary calls only: a stream lasts as long as its caller likes. */
  finished(code: ResultCode, durationMs: number): void {
    const { count, duration, openStreams } = this.#options;
    let counter = this.#byCode.get(code);
    if (counter === undefined) {
      counter = count(code);
      this.#byCode.set(code, counter);
    }
    counter.inc();
    if (openStreams === undefined) duration.observe(durationMs / 1000);
    else openStreams.dec();
  }
}

/** The registry's metric of that name, made if it is the first time. */
function known<Options extends { name: string }, M extends object>(
  registry: MetricsRegistry,
  kind: new (options: Options & { registers: MetricsRegistry[] }) => M,
  options: Options,
): M {
  const found: unknown = registry.getSingleMetric(options.name);
  return found instanceof kind ? found : new kind({ ...options, registers: [registry] });
}
