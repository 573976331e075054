import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from "prom-client";
import { nodeVersion, VERSION } from "./build-info.ts";
import { checkMetricName, type MetricKind } from "./metric-names.ts";
import type { SampledGauges } from "./metrics-page.ts";

export { Counter, Gauge, Histogram } from "prom-client";

/** Buckets for latencies in seconds: half a millisecond to ten seconds. */
export const LATENCY_BUCKETS_SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Buckets for sizes in bytes: 256 B to 64 MiB in steps of four. */
export const SIZE_BUCKETS_BYTES: readonly number[] = Array.from({ length: 10 }, (_, step) => 256 * 4 ** step);

function kindOf<T extends string>(metric: Metric<T>): MetricKind {
  if (metric instanceof Counter) return "counter";
  if (metric instanceof Gauge) return "gauge";
  return metric instanceof Histogram ? "histogram" : "summary";
}

/**
 * A registry of prom-client that refuses metrics whose names break our rule, however they are made:
 * `new Counter({ …, registers: [registry] })` goes through it too.
 */
export class MetricsRegistry extends Registry {
  readonly #sampled: SampledGauges[] = [];

  /** Families that `metricsPage` has sampled for each page, beside the metrics that are kept here. */
  get sampledGauges(): readonly SampledGauges[] {
    return this.#sampled;
  }

  addSampledGauges(gauges: SampledGauges): void {
    for (const { name } of gauges.families) {
      checkMetricName(name, "gauge");
      const isTaken = this.#sampled.some(({ families }) => families.some((other) => other.name === name));
      if (isTaken || this.getSingleMetric(name) !== undefined) {
        throw new TypeError(`there is a metric with the name ${name} already`);
      }
    }
    this.#sampled.push(gauges);
  }

  override registerMetric<T extends string>(metric: Metric<T>): void {
    const { name } = metric as unknown as { readonly name: string };
    checkMetricName(name, kindOf(metric));
    super.registerMetric(metric);
  }
}

export interface MetricsRegistryOptions {
  /**
   * Adds process_* and nodejs_* (memory, event-loop delay, garbage collection, …): once per process, by its
   * main.
   */
  readonly processMetrics?: boolean;
}

export function createMetricsRegistry(options: MetricsRegistryOptions = {}): MetricsRegistry {
  const registry = new MetricsRegistry();
  if (options.processMetrics === true) {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 10 });
    const info = new Gauge({
      name: "ottla_build_info",
      help: "Always 1; its labels say which build runs",
      labelNames: ["version", "node_version"],
      registers: [registry],
    });
    info.labels(VERSION, nodeVersion()).set(1);
  }
  return registry;
}
