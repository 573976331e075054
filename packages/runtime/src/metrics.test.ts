import { describe, expect, test } from "vitest";
import { LabelLimiter } from "./label-limiter.ts";
import { checkMetricName } from "./metric-names.ts";
import {
  Counter,
  createMetricsRegistry,
  Gauge,
  Histogram,
  LATENCY_BUCKETS_SECONDS,
  SIZE_BUCKETS_BYTES,
} from "./metrics.ts";

describe("metric names", () => {
  test.each([
    ["ottla_gateway_requests_total", "counter"],
    ["ottla_log_appended_bytes_total", "counter"],
    ["ottla_gateway_append_duration_seconds", "histogram"],
    ["ottla_partition_storage_segments", "gauge"],
    ["ottla_log_high_watermark_offset", "gauge"],
    ["kafka_consumergroup_lag", "gauge"],
    ["kafka_topic_partition_current_offset", "gauge"],
    ["process_cpu_seconds_total", "counter"],
    ["nodejs_eventloop_lag_seconds", "gauge"],
  ] as const)("%s may be a %s", (name, kind) => {
    expect(() => checkMetricName(name, kind)).not.toThrow();
  });

  test.each([
    ["requests_total", "counter", "must read ottla_<service>"],
    ["ottla_requests", "gauge", "must read ottla_<service>"],
    ["ottla_Gateway_requests", "gauge", "must read ottla_<service>"],
    ["ottla_gateway_requests", "counter", "must end in _total if it is a counter"],
    ["ottla_gateway_requests_total", "gauge", "must end in _total if it is a counter"],
    ["ottla_gateway_latency_ms", "histogram", "must be in seconds, not ms"],
    ["ottla_log_size_megabytes", "gauge", "must be in bytes"],
    ["ottla_log_latency", "histogram", "must end in its unit"],
    ["kafka_something_else", "gauge", "must read ottla_<service>"],
  ] as const)("%s may not be a %s", (name, kind, fault) => {
    expect(() => checkMetricName(name, kind)).toThrow(fault);
  });
});

describe("createMetricsRegistry", () => {
  test("a metric made with prom-client's own constructor meets the rule too", () => {
    const registry = createMetricsRegistry();
    const registers = [registry];
    expect(() => new Counter({ name: "ottla_gateway_requests", help: "h", registers })).toThrow(TypeError);
    expect(() => new Gauge({ name: "ottla_gateway_requests_total", help: "h", registers })).toThrow(
      TypeError,
    );
    expect(registry.getMetricsAsArray()).toEqual([]);
  });

  test("what is counted on a resolved child is what is exposed", async () => {
    const registry = createMetricsRegistry();
    const appends = new Counter({
      name: "ottla_log_appended_batches_total",
      help: "Batches appended",
      labelNames: ["topic"],
      registers: [registry],
    });
    const durations = new Histogram({
      name: "ottla_log_sync_duration_seconds",
      help: "Duration of fdatasync",
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers: [registry],
    });
    const child = appends.labels("t");
    child.inc();
    child.inc(4);
    durations.observe(0.003);
    const exposed = await registry.metrics();
    expect(exposed).toContain('ottla_log_appended_batches_total{topic="t"} 5\n');
    expect(exposed).toContain('ottla_log_sync_duration_seconds_bucket{le="0.0025"} 0\n');
    expect(exposed).toContain('ottla_log_sync_duration_seconds_bucket{le="0.005"} 1\n');
  });

  test("a main program's registry shows memory, event loop, garbage collection and build", async () => {
    const exposed = await createMetricsRegistry({ processMetrics: true }).metrics();
    for (const name of [
      "process_resident_memory_bytes",
      "process_cpu_seconds_total",
      "nodejs_eventloop_lag_p99_seconds",
      "nodejs_gc_duration_seconds",
      "ottla_build_info",
    ]) {
      expect(exposed).toContain(`# TYPE ${name} `);
    }
  });

  test("standard buckets rise", () => {
    for (const buckets of [LATENCY_BUCKETS_SECONDS, SIZE_BUCKETS_BYTES]) {
      expect(buckets).toEqual([...buckets].sort((left, right) => left - right));
    }
    expect(SIZE_BUCKETS_BYTES.at(-1)).toBe(64 * 2 ** 20);
  });
});

test("label values beyond the limit are counted together, and a released one makes room", () => {
  const limiter = new LabelLimiter({ maxValues: 2 });
  expect(["a", "b", "c", "a", "b"].map((value) => limiter.limit(value))).toEqual([
    "a",
    "b",
    "_other",
    "a",
    "b",
  ]);
  limiter.release("a");
  expect(limiter.limit("c")).toBe("c");
  expect(limiter.limit("a")).toBe("_other");
});
