import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { type ConsumedRecord, Ottla, traceContextOf } from "@ottla/client";
import { fetch as kafkaFetch } from "@ottla/kafka-protocol";
import { GroupService } from "@ottla/proto/ottla/v1/group";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";
import { OttlaServer } from "../support/ottla-server.ts";
import { type CollectedSpan, TraceCollector } from "../support/trace-collector.ts";
import { batchOf, connectKafka, createTopic, fetchRequest, produceBatch } from "./kafka-support.ts";
import { appendTexts } from "./serve-support.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

describe.runIf(haveEtcd())("traces of a cluster of processes", () => {
  let collector: TraceCollector;
  let cluster: OttlaCluster;
  let provider: TracerProvider;
  let ottla: Ottla;

  beforeAll(async () => {
    collector = await TraceCollector.start();
    const tracing = ["--tracing-endpoint", collector.endpoint, "--tracing-sample-ratio", "0"];
    cluster = await OttlaCluster.start(
      { coordinators: 1, storageNodes: 2, groupCoordinators: 1, gateways: 1 },
      [...tracing, "--default-replication-factor", "2"],
    );
    // An application with OpenTelemetry's own SDK, which sends its spans to the same collector.
    const exporter = new OTLPTraceExporter({ url: `${collector.endpoint}/v1/traces` });
    const resource = resourceFromAttributes({ "service.name": "shop" });
    provider = new TracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    ottla = new Ottla({ address: addressOf(cluster), tracer: provider.getTracer("orders") });
    await ottla.admin().createTopic({ name: "orders", partitions: 1 });
  });

  afterAll(async () => {
    await ottla?.close();
    await provider?.shutdown();
    await cluster?.stop();
    await collector?.stop();
  });

  function ofTrace(spans: readonly CollectedSpan[], traceId: string): Map<string, CollectedSpan> {
    const found = spans.filter((span) => span.traceId === traceId);
    return new Map(found.map((span) => [`${span.service} ${span.name}`, span]));
  }

  /** The spans of a trace, once it has all of these. */
  function untilTraceHas(traceId: string, names: readonly string[]): Promise<Map<string, CollectedSpan>> {
    return collector.until((spans) => {
      const trace = ofTrace(spans, traceId);
      return names.every((name) => trace.has(name)) ? trace : undefined;
    });
  }

  test("one trace goes from the producer to the replicas, and the consumer links to it", async () => {
    const producer = ottla.producer({ lingerMs: 0 });
    await producer.send({ topic: "orders", value: "one", headers: { kind: "new" } });
    const group = ottla.consumer({ group: "shipping", topics: ["orders"] });
    let record: ConsumedRecord | undefined;
    for await (const next of group) {
      record = next;
      break;
    }
    await group.close();
    expect(record?.headers.map(({ key }) => key)).toEqual(["kind", "traceparent"]);
    const context = record && traceContextOf(record);
    const traceId = context?.traceId ?? "";

    const send = "shop send orders";
    const gateway = "ottla-gateway ottla.v1.LogService/Produce";
    const storage = "ottla-partition-storage append";
    const parts = ["sync log", "await replicas"].map((name) => `ottla-partition-storage ${name}`);
    const trace = await untilTraceHas(traceId, [send, gateway, storage, ...parts]);
    expect(trace.size).toBe(5);
    const spanOf = (name: string): CollectedSpan | undefined => trace.get(name);
    expect(spanOf(send)).toMatchObject({ spanId: context?.spanId, parentSpanId: "", kind: 4 });
    expect(spanOf(send)?.attributes).toMatchObject({
      "messaging.destination.name": "orders",
      "messaging.destination.partition.id": "0",
      "messaging.ottla.offset": "0",
    });
    expect(spanOf(gateway)).toMatchObject({ parentSpanId: spanOf(send)?.spanId, kind: 2 });
    expect(spanOf(gateway)?.attributes).toMatchObject({
      "rpc.method": "Produce",
      "messaging.destination.name": "orders",
    });
    expect(spanOf(storage)).toMatchObject({ parentSpanId: spanOf(gateway)?.spanId, isError: false });
    for (const part of parts) expect(spanOf(part)?.parentSpanId).toBe(spanOf(storage)?.spanId);

    const received = await collector.until((spans) => spans.find(({ name }) => name === "receive orders"));
    expect(received).toMatchObject({
      kind: 5,
      links: [{ traceId, spanId: context?.spanId }],
      attributes: { "messaging.consumer.group.name": "shipping" },
    });
  });

  test("a call's traceparent goes on, for fetches and commits; without one nothing is traced", async () => {
    const transport = new GrpcTransport({ address: addressOf(cluster), clock: systemClock });
    const log = createClient(LogService, transport);
    const before = collector.spans.length;
    await appendTexts({ log }, "orders", ["untraced"], 0);
    const metadata = { traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01` };
    await log.fetch({ topic: "orders", partition: 0, offset: 0n }, { metadata });
    const fetched = await untilTraceHas(TRACE_ID, [
      "ottla-gateway ottla.v1.LogService/Fetch",
      "ottla-partition-storage fetch",
    ]);
    expect(fetched.get("ottla-gateway ottla.v1.LogService/Fetch")?.parentSpanId).toBe("00f067aa0ba902b7");
    const groups = createClient(GroupService, transport);
    const offsets = [{ topic: "orders", partition: 0, nextOffset: 1n }];
    await groups.commitOffsets({ group: "billing", offsets }, { metadata });
    const committed = await untilTraceHas(TRACE_ID, [
      "ottla-gateway ottla.v1.GroupService/CommitOffsets",
      "ottla-group-coordinator ottla.internal.v1.GroupCoordinatorService/CommitOffsets",
      "ottla-partition-storage append",
    ]);
    const owner = committed.get(
      "ottla-group-coordinator ottla.internal.v1.GroupCoordinatorService/CommitOffsets",
    );
    expect(committed.get("ottla-partition-storage append")?.parentSpanId).toBe(owner?.spanId);
    const unknown = { topic: "orders", partition: 7, offset: 0n };
    await expect(log.fetch(unknown, { metadata })).rejects.toThrow(/partition/);
    await collector.until((spans) => spans.find(({ traceId, isError }) => traceId === TRACE_ID && isError));
    await transport.close();
    expect(collector.spans.slice(before).every(({ traceId }) => traceId === TRACE_ID)).toBe(true);
  });

  test("a collector in trouble costs spans, which are counted, and no request", async () => {
    collector.status = 400;
    const producer = ottla.producer({ lingerMs: 0 });
    await expect(producer.send({ topic: "orders", value: "two" })).resolves.toMatchObject({ partition: 0 });
    await untilCounted(cluster, "failed");
    collector.status = 200;
  });
});

test("Kafka's requests, which carry no trace, begin one each where all are sampled", async () => {
  const collector = await TraceCollector.start();
  const flags = ["--tracing-endpoint", collector.endpoint, "--tracing-sample-ratio", "1"];
  const server = await OttlaServer.start({ flags });
  try {
    const kafka = await connectKafka(server.kafkaPort);
    await createTopic(kafka, "orders", 1);
    await produceBatch(kafka, "orders", batchOf(["one"]), { partition: 0 });
    await kafka.call(kafkaFetch, 12, fetchRequest(12, [{ topic: "orders", partition: 0, offset: 0 }]));
    for (const [request, part] of [
      ["Produce", "append"],
      ["Fetch", "fetch"],
    ] as const) {
      const root = await collector.until((spans) => spans.find(({ name }) => name === request));
      expect(root).toMatchObject({ service: "ottla", parentSpanId: "", kind: 2 });
      expect(root.attributes).toMatchObject({ "messaging.system": "kafka" });
      const isPart = ({ name, parentSpanId }: CollectedSpan) => name === part && parentSpanId === root.spanId;
      await collector.until((spans) => spans.find(isPart));
    }
  } finally {
    await server.stop();
    await collector.stop();
  }
});

function addressOf(cluster: OttlaCluster): string {
  return `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
}

async function untilCounted(cluster: OttlaCluster, outcome: string): Promise<void> {
  const url = `http://127.0.0.1:${cluster.node("gateway", 1).httpPort}/metrics`;
  const line = new RegExp(`^ottla_tracing_spans_total\\{outcome="${outcome}"\\} [1-9]`, "m");
  while (!line.test(await (await fetch(url)).text())) await new Promise((resume) => setTimeout(resume, 50));
}
