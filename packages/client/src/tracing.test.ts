import { describe, expect, test } from "vitest";
import { encodeRecord } from "./produce/record.ts";
import { type ClientTracer, type SpanLink, traceContextOf, traceSend } from "./tracing.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

/** Begins spans of one context and keeps what is said of them. */
function tracerOf(context: { traceId: string; spanId: string; traceFlags: number }) {
  const begun: { name: string; links: readonly SpanLink[] }[] = [];
  const said: Record<string, string | number>[] = [];
  const tracer: ClientTracer = {
    startSpan: (name, { links = [] } = {}) => {
      begun.push({ name, links });
      return {
        spanContext: () => context,
        setAttributes: (attributes) => said.push(attributes),
        setStatus: () => undefined,
        end: () => undefined,
      };
    },
  };
  return { tracer, begun, said };
}

const sampled = { traceId: TRACE, spanId: SPAN, traceFlags: 1 };

describe("a record that is sent under a tracer", () => {
  test("carries its span in its headers, behind its own, and counts for it in the buffer", () => {
    const { tracer, begun } = tracerOf(sampled);
    const plain = encodeRecord({ topic: "t", value: "v", headers: { a: "1" } }, 0);
    const { record } = traceSend(tracer, plain);
    expect(record.traceparent).toBe(`00-${TRACE}-${SPAN}-01`);
    expect(record.input.headers?.map(({ key }) => key)).toEqual(["a", "traceparent"]);
    expect(traceContextOf({ headers: record.input.headers ?? [] })).toEqual(sampled);
    expect(record.sizeBytes).toBeGreaterThan(plain.sizeBytes + 55);
    expect(begun).toEqual([{ name: "send t", links: [] }]);
  });

  test("keeps the trace that it came with, and the span links to it", () => {
    const { tracer, begun } = tracerOf({ ...sampled, spanId: "1".repeat(16) });
    const own = `00-${TRACE}-${SPAN}-01`;
    const { record } = traceSend(
      tracer,
      encodeRecord({ topic: "t", value: "v", headers: { traceparent: own } }, 0),
    );
    expect(record.input.headers).toHaveLength(1);
    expect(traceContextOf({ headers: record.input.headers ?? [] })).toEqual(sampled);
    expect(begun[0]?.links).toEqual([{ context: sampled }]);
  });

  test("says downstream that it is not recorded, and asks nothing of servers", () => {
    const { tracer } = tracerOf({ ...sampled, traceFlags: 0 });
    const { record } = traceSend(tracer, encodeRecord({ topic: "t", value: "v" }, 0));
    expect(record.traceparent).toBeUndefined();
    expect(traceContextOf({ headers: record.input.headers ?? [] })).toMatchObject({ traceFlags: 0 });
  });

  test("carries nothing where the tracer is one that does nothing", () => {
    const { tracer } = tracerOf({ traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 });
    const { record } = traceSend(tracer, encodeRecord({ topic: "t", value: "v" }, 0));
    expect(record.input.headers).toEqual([]);
  });
});
