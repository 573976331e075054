import type { OttlaError } from "@ottla/errors";
import { formatTraceparent, parseTraceparent } from "@ottla/runtime";
import type { ConsumedBatch, ConsumedRecord } from "./consume/consumed-batch.ts";
import type { EncodedRecord } from "./produce/record.ts";

/**
 * What the SDK asks of a tracer. OpenTelemetry's `Tracer` satisfies it, so that an application hands over
 * what it has, `trace.getTracer("orders")`, and the SDK depends on no library for it.
 */
export interface ClientTracer {
  startSpan(
    name: string,
    options?: { kind?: number; attributes?: Record<string, string | number>; links?: SpanLink[] },
  ): ClientSpan;
}

export interface ClientSpan {
  spanContext(): SpanContext;
  setAttributes(attributes: Record<string, string | number>): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(): void;
}

/** Where a span is in its trace, as OpenTelemetry writes it. */
export interface SpanContext {
  traceId: string;
  spanId: string;
  traceFlags: number;
}

export interface SpanLink {
  context: SpanContext;
}

/** The numbers of OpenTelemetry's SpanKind and SpanStatusCode. */
const PRODUCER = 3;
const CONSUMER = 4;
const STATUS_ERROR = 2;
const SAMPLED = 1;
/** OpenTelemetry's own default bound of a span's links. */
const MAX_LINKS = 128;
const HEADER = "traceparent";

/** The trace that a record's producer left in its headers: what a consumer's own spans link to. */
export function traceContextOf({ headers }: Pick<ConsumedRecord, "headers">): SpanContext | undefined {
  const header = headers.find(({ key }) => key === HEADER);
  if (header?.value === undefined || header.value === null) return undefined;
  const parsed = parseTraceparent(new TextDecoder().decode(header.value));
  if (parsed === undefined) return undefined;
  const { traceId, spanId, isSampled } = parsed;
  return { traceId, spanId, traceFlags: isSampled ? SAMPLED : 0 };
}

/** A record on its way, with the span that it carries in its headers. */
export interface TracedRecord {
  readonly record: EncodedRecord;
  readonly delivered: (partition: number, offset: bigint) => void;
  readonly failed: (error: OttlaError) => void;
}

/**
 * Begins the span of sending one record and puts it into the record's headers, so that whoever consumes it
 * can link to it. A record that comes with a trace of its own keeps that, and the span links to it.
 */
export function traceSend(tracer: ClientTracer, record: EncodedRecord): TracedRecord {
  const { topic, input } = record;
  const headers = input.headers ?? [];
  const own = traceContextOf({ headers });
  const span = tracer.startSpan(`send ${topic}`, {
    kind: PRODUCER,
    attributes: messagingAttributes("send", topic),
    ...(own === undefined ? {} : { links: [{ context: own }] }),
  });
  const { traceId, spanId, traceFlags } = span.spanContext();
  const isSampled = (traceFlags & SAMPLED) === SAMPLED;
  const traceparent = formatTraceparent({ traceId, spanId, isSampled });
  // A tracer that does nothing gives a context of zeros, which is none.
  const isValid = parseTraceparent(traceparent) !== undefined;
  const value = Buffer.from(traceparent);
  const carried = own === undefined && isValid ? [...headers, { key: HEADER, value }] : headers;
  const added = carried === headers ? 0 : HEADER.length * 3 + value.length + 10;
  return {
    record: {
      ...record,
      input: { ...input, headers: carried },
      sizeBytes: record.sizeBytes + added,
      ...(isSampled ? { traceparent } : {}),
    },
    delivered: (partition, offset) => {
      span.setAttributes({
        "messaging.destination.partition.id": String(partition),
        "messaging.ottla.offset": Number(offset),
      });
      span.end();
    },
    failed: ({ code, message }) => {
      span.setAttributes({ "error.type": code });
      span.setStatus({ code: STATUS_ERROR, message });
      span.end();
    },
  };
}

/** A span for what was handed to the application, with a link to the span of each record's producer. */
export function traceReceive(tracer: ClientTracer, batch: ConsumedBatch, group?: string): void {
  const links: SpanLink[] = [];
  let count = 0;
  for (const record of batch) {
    count += 1;
    const context = links.length < MAX_LINKS ? traceContextOf(record) : undefined;
    if (context !== undefined) links.push({ context });
  }
  tracer
    .startSpan(`receive ${batch.topic}`, {
      kind: CONSUMER,
      attributes: {
        ...messagingAttributes("receive", batch.topic),
        "messaging.destination.partition.id": String(batch.partition),
        "messaging.batch.message_count": count,
        ...(group === undefined ? {} : { "messaging.consumer.group.name": group }),
      },
      links,
    })
    .end();
}

function messagingAttributes(operation: string, topic: string): Record<string, string> {
  return {
    "messaging.system": "ottla",
    "messaging.operation.name": operation,
    "messaging.operation.type": operation,
    "messaging.destination.name": topic,
  };
}
