import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { type ReadableSpan, type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import { expect, test } from "vitest";
import { nullLogger } from "./logging.ts";
import { MetricsRegistry } from "./metrics.ts";
import { SpanQueue } from "./span-queue.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Takes spans and answers when told. */
class SlowExporter implements SpanExporter {
  readonly batches: string[][] = [];
  #answer: (result: ExportResult) => void = () => undefined;

  export(spans: ReadableSpan[], answer: (result: ExportResult) => void): void {
    this.batches.push(spans.map(({ name }) => name));
    this.#answer = answer;
  }

  async answer(code = ExportResultCode.SUCCESS): Promise<void> {
    this.#answer({ code });
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

function setUp() {
  const clock = new VirtualClock();
  const metrics = new MetricsRegistry();
  const exporter = new SlowExporter();
  const queue = new SpanQueue({
    exporter,
    clock,
    metrics,
    logger: nullLogger,
    maxSpans: 4,
    maxBatchSpans: 2,
    lingerMs: 1_000,
  });
  const tracer = new TracerProvider({ spanProcessors: [queue] }).getTracer("test");
  const counted = async (): Promise<Record<string, number>> => {
    const metric = await metrics.getSingleMetric("ottla_tracing_spans_total")?.get();
    const values = metric?.values ?? [];
    return Object.fromEntries(values.map(({ labels, value }) => [String(labels["outcome"]), value]));
  };
  const end = (...names: string[]): void => {
    for (const name of names) tracer.startSpan(name).end();
  };
  return { clock, exporter, queue, end, counted };
}

test("a span waits a moment for others, a full batch does not", async () => {
  const { clock, exporter, end } = setUp();
  end("a");
  await clock.advance(999);
  expect(exporter.batches).toEqual([]);
  await clock.advance(1);
  expect(exporter.batches).toEqual([["a"]]);
  const another = setUp();
  another.end("b", "c");
  expect(another.exporter.batches).toEqual([["b", "c"]]);
});

test("behind a slow collector a bounded number waits, the rest is dropped and counted", async () => {
  const { exporter, end, counted } = setUp();
  end("a", "b", "c", "d", "e", "f", "g", "h");
  expect(exporter.batches).toEqual([["a", "b"]]);
  expect(await counted()).toEqual({ exported: 0, failed: 0, dropped: 2 });
  await exporter.answer();
  expect(exporter.batches).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
  await exporter.answer(ExportResultCode.FAILED);
  expect(await counted()).toEqual({ exported: 2, failed: 2, dropped: 2 });
});

test("a collector that never answers holds nothing up for ever", async () => {
  const { clock, exporter, end, counted } = setUp();
  end("a", "b", "c");
  await clock.advance(15_000);
  expect((await counted())["failed"]).toBe(2);
  expect(exporter.batches).toEqual([["a", "b"], ["c"]]);
});

test("what waits leaves at the end; what is given up is counted", async () => {
  const { exporter, queue, end, counted } = setUp();
  end("a", "b", "c");
  const flushed = queue.forceFlush();
  await exporter.answer();
  await exporter.answer();
  await flushed;
  expect(exporter.batches).toEqual([["a", "b"], ["c"]]);
  end("d");
  queue.abandon();
  end("e");
  expect(await counted()).toEqual({ exported: 3, failed: 0, dropped: 2 });
});
